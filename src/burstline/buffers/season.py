"""Loads that come again: the length of a season from the load itself, and a forecast by what came then."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

MEMORY = 4096  # ticks that are remembered: two of the longest season that can be found
LOOK_EVERY = 64  # ticks between two searches for a season
LEAST = 0.4  # correlation of a load with itself one season ago, from which on there is one
SHORTEST = 8  # ticks


@dataclass(frozen=True)
class Seasonal:
    """What came one season ago, moved by how much the load differs now from what it was then (the seasonal random walk
    of R. J. Hyndman and G. Athanasopoulos, "Forecasting: Principles and Practice", section 5.2, with drift of level).
    Without a season, as much as now."""

    history: Any = field(default_factory=lambda: np.zeros(0))  # newest last
    season: int = 0  # ticks, 0 for none
    ticks: int = 0

    def observe(self, value: float) -> Seasonal:
        history = np.append(self.history[-MEMORY + 1 :], value)
        ticks = self.ticks + 1
        season = season_of(history) if ticks % LOOK_EVERY == 0 else self.season
        return Seasonal(history, season, ticks)

    def ahead(self, ticks: int) -> float:
        return max(0.0, self.now + self.then(ticks) - self.then(0))

    @property
    def now(self) -> float:
        return float(self.history[-1]) if len(self.history) else 0.0

    def then(self, ticks: int) -> float:
        """The load a season before that tick; the load of now where there is no season."""
        if self.season == 0:
            return self.now
        back = -(-max(ticks, 1) // self.season) * self.season - ticks
        return float(self.history[-1 - back])

    def around(self, ticks: int, width: int) -> float:
        """The most that a season brings within `width` ticks of that one, moved likewise; 0 without a season."""
        if self.season == 0:
            return 0.0
        lifted = self.now - self.then(0)
        return max(0.0, lifted + max(self.then(at) for at in range(ticks - width, ticks + width + 1)))


def season_of(history: Any) -> int:
    """The lag at which the load is most like itself, if it is so at all, by the autocorrelation (Wiener-Khinchin: the
    inverse transform of the power spectrum). Of about equal ones the shortest; 0 for none."""
    n = len(history)
    if n < 4 * SHORTEST:
        return 0
    around = history - history.mean()
    power = np.abs(np.fft.rfft(around, 2 * n)) ** 2
    sums = np.fft.irfft(power)[: n // 2]
    if sums[0] <= 0:
        return 0
    correlation = sums / sums[0] * n / (n - np.arange(len(sums)))
    # A load that changes slowly is like itself a few ticks ago: a season begins behind the first fall below zero.
    below = np.flatnonzero(correlation < 0)
    if len(below) == 0:
        return 0
    start = max(SHORTEST, int(below[0]))
    later = correlation[start:]
    if len(later) < 3 or later.max() < LEAST:
        return 0
    peaks = np.flatnonzero((later[1:-1] >= later[:-2]) & (later[1:-1] >= later[2:]) & (later[1:-1] > 0.9 * later.max()))
    return start + 1 + int(peaks[0]) if len(peaks) else 0
