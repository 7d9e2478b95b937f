"""Counting what the phases of a worker's loop cost, in compiled code."""

from __future__ import annotations

from burstline.engine.burst_costs import BURST_CLASS, CLASSES, PHASE_SIZE
from burstline.native.memory import address_of, cycles, load64, store64

burst_class = address_of(BURST_CLASS)


def class_of(n: int) -> int:
    """The class of bursts of `n` packets: the place of its highest bit."""
    found = 0
    while n > 1 and found < CLASSES - 1:
        n >>= 1
        found += 1
    return found


def begin_burst(n: int) -> None:
    """What is timed from now on belongs to a burst of `n` packets."""
    store64(burst_class(), class_of(n))


def add_cost(costs: int, phase: int, n: int, since: int) -> int:
    """A phase of a burst of `n` packets took the cycles since then; returns the time."""
    time = cycles()
    at = costs + phase * PHASE_SIZE + class_of(n) * 16
    store64(at, load64(at) + time - since)
    store64(at + 8, load64(at + 8) + n)
    return time


def least_look(times: int) -> int:
    """Cycles between two looks at the clock, at the least of so many times."""
    least = 1 << 30
    for _ in range(times):
        start = cycles()
        least = min(least, cycles() - start)
    return least
