"""The compiled `HyperLogLog`."""

from __future__ import annotations

from burstline.native.memory import leading_zeros, load8, shift_right, store8


def add(registers: int, key: int, precision: int) -> int:
    """Count the key with this hash. Most keys change nothing, so that the CPU guesses the branch."""
    place = registers + shift_right(key, 64 - precision)
    rank = 1 + leading_zeros(key << precision | 1 << precision - 1)
    if rank > load8(place):
        store8(place, rank)
    return 0
