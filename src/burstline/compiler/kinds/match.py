"""`pkt in wanted`, of a pcap filter."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, call, i64, is_whole, state_type
from burstline.filter.native import dispatcher, native_functions
from burstline.filter.program import LINKS
from burstline.native.build import Build, wrapper_ir
from burstline.native.memory import I64
from burstline.packet.burst_type import read
from burstline.pipeline.match import Match
from burstline.state.base import State


@state_type(Match)
class MatchType(StateType):
    pass


def _symbol(match: str) -> str:
    """Of the compiled filter: link layer, address of the bytes, captured bytes, length on the wire."""
    return f"{match}_matches"


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], MatchType) and is_whole(args[1]):
            return signature(types.boolean, *args)
        return None


@lower_builtin(operator.contains, MatchType, PacketType)
def _matches(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    columns = ("link", "data", "captured", "length")
    values = [read(builder, sig.args[1].burst, packet.burst, name, packet.index) for name in columns]
    return builder.icmp_unsigned("!=", call(builder, _symbol(sig.args[0].symbol), values), I64(0))


def each_match(build: Build, state: Sequence[State]) -> list[str]:
    """The compiled filter of each object."""
    parts = []
    for match in (s for s in state if isinstance(s, Match)):
        matches: Any = dispatcher(native_functions(match.program, LINKS))
        parts.append(wrapper_ir(_symbol(match.symbol), build.compile(matches, [i64] * 4), inline=False))
    return parts
