"""Writing down what a burst stage said of a group of packets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.memory import load16, load32
from burstline.packet.burst_type import burst_address
from burstline.pipeline.verdict import NEXT
from burstline.simd import m16, u8x16, u32x16
from burstline.simd import select as choose
from burstline.simd.memory import load_vector, store_masked, store_vector, trailing_zeros


def decider(burst_at: Any, shared: bool) -> Callable[[int, int, int, int, int, int, int], int]:
    """`(burst, first, own, active, said, error, number)` writes down what stage `number` said of a group's active
    packets, an array of 32-bit verdicts, or `error` of all of them; returns the packets that are left, as bits."""

    def decide(address: int, first: int, own: int, active: int, said: int, error: int, number: int) -> int:
        burst = burst_at(address)
        verdicts: Any = load_vector(u32x16, said)
        verdicts = choose(m16(0 if error == 0 else -1), u32x16(error), verdicts)
        decided = m16(active) & (verdicts != NEXT)
        if shared:
            store_vector(said, verdicts)
            left = decided.bits()
            while left != 0:
                k = trailing_zeros(left)
                left &= left - 1
                i = load16(own + 8 + 2 * (first + k))
                burst.early[i] = load32(said + 4 * k)
                burst.decided[i] = number
        else:
            store_masked(burst_address(burst.early) + 4 * first, verdicts, decided)
            store_masked(burst_address(burst.decided) + first, u8x16(number), decided)
        gone: int = decided.bits()
        return active & ~gone

    return decide
