"""`pkt in rules`, `rules.match(pkt)`, `rules.next_match(pkt, after)` and `rules.value(number)`."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import (
    BURST,
    StateType,
    ahead,
    call,
    i64,
    is_whole,
    kernel,
    method,
    state_type,
    worked_out,
)
from burstline.native.memory import I64
from burstline.state import rule_set_kernel
from burstline.state.rule_set import RuleSet, RuleSetHead

ahead(RuleSet, "burstline_match_rules", rule_set_kernel.match_rules)
NEXT = kernel("burstline_next_rule", rule_set_kernel.next_rule, i64, BURST, i64, i64)
VALUE = kernel("burstline_rule_value", rule_set_kernel.rule_value, i64, i64, inline=True)


@state_type(
    RuleSet,
    {
        "match": method(i64, PacketType),
        "next_match": method(i64, PacketType, types.Integer),
        "value": method(i64, types.Integer),
    },
)
class RuleSetType(StateType):
    pass


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], RuleSetType) and is_whole(args[1]):
            return signature(types.boolean, *args)
        return None


@lower_builtin("RuleSet.match", RuleSetType, PacketType)
def _match(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = builder.add(args[0], I64(RuleSetHead.layout.offset("results")))
    return builder.sext(worked_out(context, builder, sig.args[1], args[1], place), I64)


@lower_builtin(operator.contains, RuleSetType, PacketType)
def _in_rules(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed(">=", _match(context, builder, sig, args), I64(0))


@lower_builtin("RuleSet.next_match", RuleSetType, PacketType, types.Integer)
def _next_match(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    return call(builder, NEXT, [args[0], packet.burst, packet.index, args[2]])


@lower_builtin("RuleSet.value", RuleSetType, types.Integer)
def _rule_value(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return call(builder, VALUE, list(args))
