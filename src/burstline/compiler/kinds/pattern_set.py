"""`payload in literals`, `literals.find(payload, at, after)` and `literals.first_in(pkt)`."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, ahead, call, i64, kernel, method, state_type, worked_out
from burstline.native.bytes_type import BYTES, BytesViewType, view_of
from burstline.native.memory import I64
from burstline.state import pattern_set_kernel
from burstline.state.pattern_set import PatternHead, PatternSet

PLACE = types.UniTuple(i64, 2)  # type: ignore[attr-defined]
ahead(PatternSet, "burstline_search_packets", pattern_set_kernel.search_packets, lambda needs: needs.literals)
FIND = kernel("burstline_find_literal", pattern_set_kernel.find_literal, i64, i64, i64, i64, i64)


@state_type(
    PatternSet,
    {
        "first_in": method(i64, PacketType),
        "find": method(PLACE, BYTES, types.Integer, types.Integer, optional=2),
    },
)
class PatternSetType(StateType):
    pass


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if args == (args[0], BYTES) and isinstance(args[0], PatternSetType):
            return signature(types.boolean, *args)
        return None


def _found(context: Any, builder: Any, args: Any) -> Any:
    view = view_of(context, builder, args[1])
    at = args[2] if len(args) > 2 else I64(0)
    after = args[3] if len(args) > 3 else I64(-1)
    return call(builder, FIND, [args[0], view.address, view.size, at, after])


@lower_builtin("PatternSet.find", PatternSetType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _find(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    found = _found(context, builder, args)
    none = builder.icmp_signed("<", found, I64(0))
    number = builder.select(none, I64(-1), builder.and_(found, I64((1 << 20) - 1)))
    at = builder.select(none, I64(0), builder.lshr(found, I64(20)))
    return context.make_tuple(builder, PLACE, [number, at])


@lower_builtin(operator.contains, PatternSetType, BytesViewType)
def _has(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed(">=", _found(context, builder, args), I64(0))


@lower_builtin("PatternSet.first_in", PatternSetType, PacketType)
def _first_in(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = builder.add(args[0], I64(PatternHead.layout.offset("results")))
    return builder.sext(worked_out(context, builder, sig.args[1], args[1], place), I64)
