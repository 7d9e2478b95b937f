"""Branches in compiled stages: a switch over their keys, or a choice by the headers that are there."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin, lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.compiler.packet_type import PacketType, has_header
from burstline.compiler.verdict_type import VERDICT, verdict_constant
from burstline.native.memory import I64
from burstline.pipeline.branch import Branch

i64 = types.int64


class BranchType(types.Type):
    def __init__(self, branch: Branch) -> None:
        self.branch = branch
        super().__init__(f"Branch({'header' if branch.by_header else 'number'}, {id(branch)})")


register_model(BranchType)(models.OpaqueModel)


@typeof_impl.register(Branch)
def _(value: Branch, context: Any) -> types.Type:
    return BranchType(value)


@lower_constant(BranchType)
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


@infer_global(operator.getitem)
class _Way(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], BranchType):
            if args[0].branch.by_header:
                return signature(VERDICT, *args) if isinstance(args[1], PacketType) else None
            if isinstance(args[1], (types.Integer, types.Boolean, types.IntEnumMember)):
                return signature(VERDICT, args[0], i64)
        return None


@lower_builtin(operator.getitem, BranchType, types.Integer)
def _by_number(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    branch = sig.args[0].branch
    done = builder.append_basic_block("branch.done")
    start = builder.block
    switch = builder.switch(args[1], done)
    found = []
    for key, way in branch.ways.items():
        block = builder.append_basic_block("branch.way")
        switch.add_case(I64(key), block)
        with builder.goto_block(block):
            found.append((verdict_constant(builder, way), block))
            builder.branch(done)
    builder.position_at_end(done)
    verdict = builder.phi(I64)
    verdict.add_incoming(verdict_constant(builder, branch.default), start)
    for value, block in found:
        verdict.add_incoming(value, block)
    return verdict


@lower_builtin(operator.getitem, BranchType, PacketType)
def _by_header(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    branch, packet = sig.args[0].branch, sig.args[1]
    verdict = verdict_constant(builder, branch.default)
    for name, way in reversed(branch.ways.items()):
        here = has_header(context, builder, packet, args[1], name)
        verdict = builder.select(here, verdict_constant(builder, way), verdict)
    return verdict
