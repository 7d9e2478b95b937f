"""The burst stages of a pipeline as one LLVM function, written as IR text, and what stands for each in the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature

from burstline.compiler.packet_type import PacketType
from burstline.compiler.verdict_type import VERDICT
from burstline.native.build import Compiled
from burstline.native.memory import I64, LOWERED, Primitive
from burstline.packet.burst_type import read
from burstline.pipeline.verdict import DROPPED, KIND_BITS, NEXT

GROUP, DECIDE = "burstline_group", "burstline_decide"
early_verdict = Primitive("early_verdict")  # (packet, number of a burst stage): what that stage said of it


class _EarlyVerdict(AbstractTemplate):  # type: ignore[misc]
    key = early_verdict

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(VERDICT, *args) if isinstance(args[0], PacketType) else None


builtin_registry.register_global(early_verdict, types.Function(_EarlyVerdict))
LOWERED.add(early_verdict)


@lower_builtin(early_verdict, PacketType, types.Integer)
def _early_verdict(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = builder.extract_value(args[0], 0), builder.extract_value(args[0], 1)
    burst = sig.args[0].burst
    number, verdict = (read(builder, burst, packet[0], name, packet[1]) for name in ("decided", "early"))
    return builder.select(builder.icmp_unsigned("==", number, args[1]), verdict, I64(NEXT))


def spoken_for(number: int) -> FunctionType:
    """The stage that stands in the chain for burst stage `number`, counted from 1: it says what that one said."""

    def early(pkt: Any) -> Any:
        return early_verdict(pkt, number)

    assert isinstance(early, FunctionType)
    return early


@dataclass(frozen=True)
class GroupStage:
    """One burst stage, compiled."""

    body: Compiled
    error: int  # number of the reason "this stage failed"


def group_ir(stages: Sequence[GroupStage], lanes: int) -> str:
    """`burstline_group(burst, first, own, active)` runs the stages over a group. A stage sees the packets that all
    before it let go on; `DECIDE` writes down what it said, and gives those that are left."""
    if not stages:
        return ""
    lines = []
    for k, stage in enumerate(stages):
        failed = DROPPED | stage.error << KIND_BITS
        lines.append(f"""
  %status{k} = call i32 @"{stage.body.symbol}"(ptr %said, ptr %exception, i64 %burst, i64 %first, i64 %own, i64 %a{k})
  %failed{k} = icmp ne i32 %status{k}, 0
  %error{k} = select i1 %failed{k}, i64 {failed}, i64 0
  %a{k + 1} = call i64 @{DECIDE}(i64 %burst, i64 %first, i64 %own, i64 %a{k}, i64 %room, i64 %error{k}, i64 {k + 1})""")
    declared = sorted({stage.body.symbol for stage in stages})
    head = "\n".join(f'declare i32 @"{symbol}"(ptr, ptr, i64, i64, i64, i64)' for symbol in declared)
    return f"""
{head}
define i64 @{GROUP}(i64 %burst, i64 %first, i64 %own, i64 %a0) alwaysinline {{
  %said = alloca [{lanes} x i32], align 64
  %exception = alloca ptr
  %room = ptrtoint ptr %said to i64{"".join(lines)}
  ret i64 %a{len(stages)}
}}"""
