"""Loads to try forecasts and pools with: buffers in use, tick by tick, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

TICK = 0.005  # seconds
BASE = 1000.0  # buffers
NOISE = 0.02  # of the load, a standard deviation
ON, OFF, SHAPE, SOURCES = 0.2, 0.4, 1.4, 64  # seconds at least, exponent of Pareto's law


def ramps(ticks: int, seed: int = 1, jitter: float = 0.005) -> Any:
    """Ten times as much within 50 ms, for a third of a second, every two seconds: as a timer says, late or early by
    `jitter` seconds (a standard deviation) each time, and as high as it happens to be."""
    chance = np.random.default_rng(seed)
    load = np.full(ticks, 1.0)
    due, at = 1.0, 200
    while at < ticks:
        up = max(2, round(0.05 / TICK))
        height = 9 * chance.uniform(0.9, 1.1)
        hold = round((0.3 + chance.normal(0, jitter)) / TICK)
        shape = np.concatenate([np.linspace(0, 1, up), np.ones(hold), np.linspace(1, 0, up)]) * height
        end = min(ticks, at + len(shape))
        load[at:end] += shape[: end - at]
        due += 2.0
        at = round((due + chance.normal(0, jitter)) / TICK)
    return BASE * load * chance.normal(1, NOISE, ticks)


def crowds(chance: Any, until: float) -> Iterator[tuple[float, float]]:
    """When each flash crowd begins, in seconds, and how many loads of the night it adds."""
    at = chance.exponential(4.0)
    while at < until:
        yield at, chance.uniform(2, 5)
        at += 1.0 + chance.exponential(5.0)


def by_day(time: Any) -> Any:
    return 2 - np.cos(2 * np.pi * time / 20)


def crowd(after: Any) -> Any:
    """Of its height, so many seconds after it began."""
    after = np.maximum(0, after)
    return np.minimum(1, after / 0.2) * np.exp(-np.maximum(0, after - 0.2))


def diurnal(ticks: int, seed: int = 2) -> Any:
    """Days of twenty seconds, from one to three, and flash crowds that nobody announces: two to five more within a
    fifth of a second, which wear off over one (J. Jung, B. Krishnamurthy and M. Rabinovich, "Flash crowds and denial
    of service attacks", WWW 2002, in fast motion)."""
    chance = np.random.default_rng(seed)
    time = np.arange(ticks) * TICK
    load = by_day(time)
    for at, height in crowds(chance, time[-1]):
        load = load + height * crowd(time - at)
    return BASE * load * chance.normal(1, NOISE, ticks)


def periods(chance: Any, ticks: int, shape: float) -> Iterator[tuple[float, float, bool]]:
    """Of one source: from when to when, in ticks, it is on or off."""
    at, on = -chance.uniform(0, 2000), bool(chance.integers(2))
    while at < ticks:
        length = (ON if on else OFF) / TICK * (1 + chance.pareto(shape))
        yield at, at + length, on
        at, on = at + length, not on


def self_similar(ticks: int, seed: int = 3, sources: int = SOURCES, shape: float = SHAPE) -> Any:
    """Sources that are on for at least a fifth of a second and off for twice that, by Pareto's law with exponent 1.4: a
    Hurst parameter of (3 - 1.4) / 2 = 0.8 (W. Willinger, M. S. Taqqu, R. Sherman and D. V. Wilson, "Self-similarity
    through high-variability", IEEE/ACM Transactions on Networking 5(1), 1997)."""
    chance = np.random.default_rng(seed)
    active = np.zeros(ticks)
    for _ in range(sources):
        for begin, end, on in periods(chance, ticks, shape):
            if on:
                active[max(0, int(begin)) : max(0, int(end))] += 1
    return with_active(active, sources)


def with_active(active: Any, sources: int = SOURCES) -> Any:
    """The load of so many sources that are on."""
    return BASE * (0.2 + active / sources * 4)


LOADS: Mapping[str, Callable[[int], Any]] = {
    "ramps": ramps,
    "diurnal, flash crowds": diurnal,
    "self-similar": self_similar,
}
