"""A walk through memory in which each read waits for the one before."""

from __future__ import annotations

from benchmarks.harness.cache_curve import Walk
from burstline.native.memory import load64

__all__ = ["Walk", "walk"]


def walk(c: Walk) -> int:
    at = c.start
    for _ in range(c.steps):
        at = load64(at)
    return at
