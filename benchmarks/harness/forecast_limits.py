"""How far off forecasts must be: those of somebody who knows what made a load, but not what chance will bring.

Whoever sees only the load knows less, so that no forecaster is expected to have a lower error than these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.harness.loads import (
    BASE,
    NOISE,
    OFF,
    ON,
    SHAPE,
    SOURCES,
    TICK,
    by_day,
    crowd,
    crowds,
    periods,
    with_active,
)

Forecasts = tuple[Any, Any]  # at each tick, for a tick `horizon` later: the median, and the quantile


def diurnal(ticks: int, horizon: int, quantile: float, seed: int = 2) -> Forecasts:
    """Knows the day, and each crowd's height and course from the tick at which it begins; not when the next one will,
    and not the noise."""
    now = np.arange(ticks) * TICK
    then = now + horizon * TICK
    load = by_day(then)
    for at, height in crowds(np.random.default_rng(seed), now[-1]):
        load = load + np.where(now >= at, height * crowd(then - at), 0)
    return BASE * load, BASE * load * (1 + NOISE * NormalDist().inv_cdf(quantile))


def self_similar(ticks: int, horizon: int, quantile: float, seed: int = 3) -> Forecasts:
    """Knows of each source whether it is on and for how long it has been: what it does `horizon` ticks later then
    follows from Pareto's law, and of how many are on from the distribution of a sum of independent sources (for a
    horizon that is shorter than any period, so that a source switches once at most)."""
    assert horizon * TICK < min(ON, OFF)
    chance = np.random.default_rng(seed)
    spread = np.zeros((SOURCES + 1, ticks))  # how likely so many are on
    spread[0] = 1
    for _ in range(SOURCES):
        active = np.zeros(ticks)
        for begin, end, on in periods(chance, ticks, SHAPE):
            here = slice(max(0, int(begin)), max(0, int(end)))
            age = np.arange(ticks)[here] + 1 - begin  # a period that ended before that would be over at this tick
            stays = _lasts(age + horizon, on) / _lasts(age, on)
            active[here] = stays if on else 1 - stays
        more = spread[:-1] * active
        spread *= 1 - active
        spread[1:] += more
    below = spread.cumsum(axis=0)
    return with_active((below < 0.5).sum(axis=0)), with_active((below < quantile).sum(axis=0))


def _lasts(ticks: Any, on: bool) -> Any:
    """How likely a period is at least so long."""
    return np.minimum(1, (ON if on else OFF) / TICK / np.maximum(ticks, 1e-9)) ** SHAPE


KNOWING: Mapping[str, tuple[str, Callable[[int, int, float], Forecasts]]] = {
    "diurnal, flash crowds": ("who knows day and crowds", diurnal),
    "self-similar": ("who knows each source", self_similar),
}
