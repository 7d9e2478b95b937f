"""The sizes of generated frames: many small ones, many full ones, some between, and the very mean that is asked for.

Links carry two peaks, of acknowledgements and of full frames. That mix has a mean of its own; weighing each size by
`exp(tilt * size)` moves it to any other and changes the mix least (a distribution of maximum entropy relative to it).
"""

from __future__ import annotations

import array
import math
from itertools import accumulate

from burstline.ports.traffic import LARGEST, SMALLEST

ENTRIES = 1024  # of a table of sizes, each as likely as the other; a power of two
_SMALL = 37  # sizes of the lower peak
_STEP = 13  # between two sizes of the middle: odd, so that payloads are, too
_STEEPEST = 4.0


def _mix(least: int) -> dict[int, float]:
    """The shares of sizes: 45 % small and falling, 25 % even in the middle, 30 % full."""
    falling = {least + k: 0.75**k for k in range(_SMALL)}
    middle = range(least + _SMALL, LARGEST, _STEP)
    total = sum(falling.values())
    return {
        **{size: 0.45 * share / total for size, share in falling.items()},
        **{size: 0.25 / len(middle) for size in middle},
        LARGEST: 0.30,
    }


def size_table(mean: int, least: int) -> array.array[int]:
    """`ENTRIES` sizes from `least` to `LARGEST` in rising order, whose mean is exactly `mean`."""
    mix = _mix(least)
    sizes = sorted(mix)
    low, high = -_STEEPEST, _STEEPEST
    for _ in range(60):
        tilt = (low + high) / 2
        shares = _tilted(sizes, mix, tilt)
        if sum(size * share for size, share in zip(sizes, shares, strict=True)) < mean:
            low = tilt
        else:
            high = tilt
    bounds = list(accumulate(shares))
    table, at = array.array("H"), 0
    for entry in range(ENTRIES):
        while at + 1 < len(sizes) and bounds[at] < (entry + 0.5) / ENTRIES:
            at += 1
        table.append(sizes[at])
    _settle(table, mean * ENTRIES, least)
    return table


def _tilted(sizes: list[int], mix: dict[int, float], tilt: float) -> list[float]:
    pivot = sizes[-1] if tilt > 0 else sizes[0]  # so that no power overflows
    shares = [mix[size] * math.exp(tilt * (size - pivot)) for size in sizes]
    total = sum(shares)
    return [share / total for share in shares]


def _settle(table: array.array[int], total: int, least: int) -> None:
    """Change entries by as little as makes their sum `total`, those between the peaks first."""
    missing = total - sum(table)
    step = 1 if missing > 0 else -1
    order = sorted(range(ENTRIES), key=lambda entry: abs(table[entry] - (SMALLEST + LARGEST) // 2))
    while missing:
        for entry in order:
            if missing and least <= table[entry] + step <= LARGEST:
                table[entry] += step
                missing -= step
    table[:] = array.array("H", sorted(table))
