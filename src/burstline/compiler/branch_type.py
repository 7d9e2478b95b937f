"""Branches in compiled stages: an LLVM switch over numbers, or a row of tests for headers, that ends in a verdict.

The hop's own switch over the verdict is folded into it by LLVM (SimplifyCFG, JumpThreading): one jump for each packet.
"""

from __future__ import annotations

import operator
from typing import Any, cast

from numba.core import types
from numba.core.imputils import lower_builtin, lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.compiler.packet_type import PacketType, has_header
from burstline.compiler.verdict_type import VERDICT, Numbers, verdict_constant
from burstline.native.memory import I64
from burstline.pipeline.branch import Branch, Way


class BranchType(types.Type):
    """A branch by its number. Numba keeps types from one pipeline to the next, so that it holds no branch itself."""

    def __init__(self, number: int, by_header: bool) -> None:
        self.number, self.by_header = number, by_header
        super().__init__(f"Branch({number}, {'header' if by_header else 'number'})")


register_model(BranchType)(models.OpaqueModel)


@typeof_impl.register(Branch)
def _(value: Branch, context: Any) -> types.Type:
    return BranchType(Numbers.branch(value), value.by_header)


@lower_constant(BranchType)
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()


@infer_global(operator.getitem)
class _Way(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) != 2 or not isinstance(args[0], BranchType):
            return None
        branch, key = args
        if branch.by_header:
            return signature(VERDICT, *args) if isinstance(key, PacketType) else None
        is_integer = isinstance(key, (types.Integer, types.Boolean, types.IntEnumMember))
        return signature(VERDICT, branch, types.int64) if is_integer else None


@lower_builtin(operator.getitem, BranchType, types.Integer)
def _by_number(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    branch = Numbers.branches[sig.args[0].number]
    end = builder.append_basic_block("branch.end")
    ways = _Ways(builder, end)
    switch = builder.switch(args[1], ways.block(branch.default))
    for number, way in branch.ways.items():
        switch.add_case(I64(number), ways.block(way))
    return ways.value()


@lower_builtin(operator.getitem, BranchType, PacketType)
def _by_header(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    branch = Numbers.branches[sig.args[0].number]
    end = builder.append_basic_block("branch.end")
    ways = _Ways(builder, end)
    for name, way in branch.ways.items():
        otherwise = builder.append_basic_block(f"branch.no_{name}")
        here = has_header(context, builder, sig.args[1], args[1], cast(str, name))
        builder.cbranch(here, ways.block(way), otherwise)
        builder.position_at_end(otherwise)
    builder.branch(ways.block(branch.default))
    return ways.value()


class _Ways:
    """A block for each way that there is, all of which come together in `end`."""

    def __init__(self, builder: Any, end: Any) -> None:
        self._builder, self._end = builder, end
        self._blocks: dict[Way, Any] = {}

    def block(self, way: Way) -> Any:
        if way not in self._blocks:
            self._blocks[way] = self._builder.append_basic_block("branch.way")
        return self._blocks[way]

    def value(self) -> Any:
        """The verdict; the builder goes on at the end."""
        for block in self._blocks.values():
            self._builder.position_at_end(block)
            self._builder.branch(self._end)
        self._builder.position_at_end(self._end)
        verdict = self._builder.phi(I64)
        for way, block in self._blocks.items():
            verdict.add_incoming(verdict_constant(way), block)
        return verdict
