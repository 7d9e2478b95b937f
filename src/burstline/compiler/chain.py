"""The chain: stages as LLVM functions that hand a packet on by guaranteed tail calls, written as IR text.

Each hop calls its stage's body, which is always inlined into it, and looks at the verdict. `musttail` under
`preserve_nonecc` makes the way on a jump with the packet in registers (LLVM Language Reference, "Calling
Conventions"); fused, the next hop is inlined instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burstline.native.build import Compiled
from burstline.pipeline.verdict import CHAINED, DROPPED, KIND_BITS

Dispatch = Literal["auto", "fused", "tail"]
ENTER = "burstline_enter"


@dataclass(frozen=True)
class Hop:
    """One stage at its place."""

    stage: str
    body: Compiled
    drop: int  # number of the reason "dropped by this stage"
    error: int  # of the reason "this stage failed"


def hop_name(chain: int, place: int) -> str:
    return f"hop_{chain}_{place}"


def chain_ir(chains: Sequence[Sequence[Hop]], dispatch: Literal["fused", "tail"]) -> str:
    """The hops of all chains and the way in; chain 0 is entered first."""
    parts = [_declaration(symbol) for symbol in sorted({h.body.symbol for chain in chains for h in chain})]
    for number, chain in enumerate(chains):
        for place, hop in enumerate(chain):
            following = hop_name(number, place + 1) if place + 1 < len(chain) else None
            parts.append(_hop(hop_name(number, place), hop, following, len(chains), dispatch))
    parts.append(
        f"""
define i64 @{ENTER}(i64 %burst, i64 %i) alwaysinline {{
  %verdict = call preserve_nonecc i64 @{hop_name(0, 0)}(i64 %burst, i64 %i)
  ret i64 %verdict
}}"""
    )
    return "\n".join(parts)


def _declaration(symbol: str) -> str:
    return f'declare i32 @"{symbol}"(ptr, ptr, i64, i64)'


def _go(target: str, label: str, dispatch: str) -> str:
    tail = "musttail" if dispatch == "tail" else ""
    return f"""
{label}:
  %{label}.verdict = {tail} call preserve_nonecc i64 @{target}(i64 %burst, i64 %i)
  ret i64 %{label}.verdict"""


def _hop(name: str, hop: Hop, following: str | None, chains: int, dispatch: str) -> str:
    inline = "noinline" if dispatch == "tail" else "alwaysinline"
    onward = _go(following, "next", dispatch) if following else "\nnext:\n  ret i64 0"
    cases = "".join(f"\n    i64 {CHAINED | k << KIND_BITS}, label %chain{k}" for k in range(1, chains))
    jumps = "".join(_go(hop_name(k, 0), f"chain{k}", dispatch) for k in range(1, chains))
    return f"""
define internal preserve_nonecc i64 @{name}(i64 %burst, i64 %i) {inline} {{
  %result = alloca i64
  %exception = alloca ptr
  %status = call i32 @"{hop.body.symbol}"(ptr %result, ptr %exception, i64 %burst, i64 %i)
  %failed = icmp ne i32 %status, 0
  br i1 %failed, label %error, label %ended, !prof !{{!"branch_weights", i32 1, i32 1000}}
ended:
  %verdict = load i64, ptr %result
  switch i64 %verdict, label %decided [
    i64 0, label %next
    i64 {DROPPED}, label %dropped{cases}
  ]{onward}{jumps}
dropped:
  ret i64 {DROPPED | hop.drop << KIND_BITS}
error:
  ret i64 {DROPPED | hop.error << KIND_BITS}
decided:
  ret i64 %verdict
}}"""


def each_ir(name: str, parameters: int, callee: str, calls: Sequence[Sequence[str | int]]) -> str:
    """`i64 name(i64...)` that calls `callee` once per entry of `calls` and returns the least result.

    An argument is the symbol of a state object, a number, or `%a0` for a parameter.
    """
    given = ", ".join(f"i64 %a{k}" for k in range(parameters))
    lines, least = [], str(1 << 62)
    for k, arguments in enumerate(calls):
        passed = ", ".join(
            f"i64 {a}" if isinstance(a, int) or a.startswith("%") else f"i64 ptrtoint (ptr @{a} to i64)"
            for a in arguments
        )
        lines.append(f"  %r{k} = call i64 @{callee}({passed})")
        lines.append(f"  %m{k} = call i64 @llvm.smin.i64(i64 {least}, i64 %r{k})")
        least = f"%m{k}"
    body = "\n".join(lines)
    return f"""
define i64 @{name}({given}) alwaysinline {{
{body}
  ret i64 {least}
}}"""
