"""How far off forecasts are, 50 ms ahead, beside the last value, a moving average, and who knows what made the load.

Peers that forecast one figure have the same margin put on it as ours where too little weighs more than too much: the
shortfall that was hardly exceeded lately.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness.forecast_limits import KNOWING
from benchmarks.harness.loads import LOADS, TICK
from burstline.buffers.forecast import Forecaster, LastValue, MovingAverage
from burstline.buffers.mixture import SURPRISES, Mixture, mixture

HORIZON = round(0.05 / TICK)
SEEN = 400  # ticks before errors count
WEIGHT = 19  # of a buffer too few, beside one too many: the pinball loss of the quantile 0.95
QUANTILE = WEIGHT / (WEIGHT + 1)
TICKS = 8000


@dataclass(frozen=True)
class Errors:
    """In percent of the load: WAPE (sum of errors by sum of loads), and the same with shortfalls weighing more; both of
    each peer, too."""

    load: str
    wape: float
    weighted: float
    peers: list[tuple[str, float, float]]


def errors(*, quick: bool = False) -> Iterator[Errors]:
    """For each load, and for all of them together."""
    ticks = TICKS // 8 if quick else TICKS
    found: dict[str, list[Any]] = {}
    for name, load in LOADS.items():
        actual = load(ticks)
        parts = {
            "ours": _sums(mixture(HORIZON), actual),
            "last value": _sums(LastValue(), actual),
            "moving average": _sums(MovingAverage(), actual),
            "last value and margin": _sums(LastValue(), actual, margin=True),
            "moving average and margin": _sums(MovingAverage(), actual, margin=True),
        }
        for who, sums in parts.items():
            found.setdefault(who, []).append(sums)
        if name in KNOWING:
            who, forecasts = KNOWING[name]
            parts[who] = _off(actual, *forecasts(ticks, HORIZON, QUANTILE))
        yield _errors(name, parts)
    yield _errors("all loads", {who: np.sum(sums, axis=0) for who, sums in found.items()})


def _errors(name: str, parts: dict[str, Any]) -> Errors:
    percent = {who: (100 * sums[0] / sums[2], 100 * sums[1] / sums[2]) for who, sums in parts.items()}
    peers = [(who, *both) for who, both in percent.items() if who != "ours"]
    return Errors(name, *percent["ours"], peers)


def _sums(forecaster: Forecaster | Mixture, load: Any, *, margin: bool = False) -> Any:
    """Of absolute errors, of weighted ones (of the upper side, where a forecaster has one), and of the load."""
    said, high = [], []
    for value in load:
        forecaster = forecaster.observe(float(value))
        said.append(forecaster.ahead(HORIZON))
        high.append(forecaster.upper(QUANTILE) if isinstance(forecaster, Mixture) else said[-1])
    return _off(load, np.array(said), _with_margin(np.array(said), load) if margin else np.array(high))


def _with_margin(said: Any, load: Any) -> Any:
    """Each forecast, and on top of it the quantile of the shortfalls that were known when it was made."""
    shortfalls = load[HORIZON:] - said[:-HORIZON]
    high = said.copy()
    for tick in range(HORIZON, len(said)):
        known = shortfalls[max(0, tick - HORIZON + 1 - SURPRISES) : tick - HORIZON + 1]
        high[tick] += max(0.0, float(np.quantile(known, QUANTILE)))
    return high


def _off(load: Any, said: Any, high: Any) -> Any:
    actual = load[SEEN + HORIZON :]
    off, above = said[SEEN:-HORIZON] - actual, high[SEEN:-HORIZON] - actual
    weighted = np.where(above < 0, -WEIGHT * above, above) / (WEIGHT + 1)
    return np.array([np.abs(off).sum(), weighted.sum(), actual.sum()])
