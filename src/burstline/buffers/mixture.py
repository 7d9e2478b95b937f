"""The forecaster that pools use: several others, each weighed by how well it did lately, and how far off they all were.

M. Herbster and M. K. Warmuth, "Tracking the best expert", Machine Learning 32, 1998: weights fall with the loss, and
those of a while ago are forgotten, so that another one can take the lead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.buffers.forecast import DampedTrend, Forecaster, LastValue, MovingAverage
from burstline.buffers.regression import Regression
from burstline.buffers.season import Seasonal
from burstline.buffers.switching_trend import SwitchingTrend

KEPT = 0.995  # of a loss, a tick later
SHARPNESS = 20.0  # a forecaster with a tenth more loss has a seventh of the weight
SURPRISES = 2048  # ticks whose errors are remembered, and peaks
PROVEN = 2  # seasons, after which errors from before the season was known are forgotten
PUNCTUAL = 50  # a part of a season by which what it brings may come early or late
PEAK = 1.1  # of the highest of them is as much as a forecast's errors are made up for


@dataclass(frozen=True)
class Mixture:
    """Forecasts `horizon` ticks ahead: last value, moving averages, trends, regression and season, mixed.

    `upper` is what the load will hardly be above. It is the forecast, or the most that a season brings about then, and
    on top of it the largest shortfall that this had of late: a load that rose once as no forecast said finds room when
    it does so again. That is no more than the highest of recent peaks, where the forecast itself is not above it.
    """

    horizon: int
    experts: tuple[Forecaster, ...]
    regression: Regression
    losses: Any
    said: tuple[tuple[Any, float, float], ...] = ()  # by each expert, by all, and the upper side, at the last ticks
    shortfalls: Any = field(default_factory=lambda: np.zeros(0))
    known: int = 0  # ticks for which there has been a season

    def observe(self, value: float) -> Mixture:
        losses, shortfalls = self.losses, self.shortfalls
        regression = self.regression.observe(value)
        season = regression.seen
        known = self.known + 1 if season.season else 0
        if season.season and known == PROVEN * season.season:
            shortfalls = shortfalls[-known:]  # those before are of one who knew of no season
        if len(self.said) == self.horizon:
            each, _, high = self.said[0]
            losses = KEPT * losses + np.abs(each - value)
            shortfalls = np.append(shortfalls[-SURPRISES + 1 :], value - high)
        experts = tuple(expert.observe(value) for expert in self.experts)
        each = np.array([expert.ahead(self.horizon) for expert in (*experts, regression, season)])
        mixed = float(each @ _weights(losses))
        high = max(mixed, season.around(self.horizon, max(self.horizon, season.season // PUNCTUAL)))
        said = (*self.said, (each, mixed, high))[-self.horizon :]
        return Mixture(self.horizon, experts, regression, losses, said, shortfalls, known)

    @property
    def season(self) -> Seasonal:
        """What the regression has seen, which is all of it."""
        return self.regression.seen

    def ahead(self, ticks: int = 0) -> float:
        return self.said[-1][1] if self.said else 0.0

    @property
    def due(self) -> float:
        """What was forecast for the next tick, `horizon` ticks before it; -1 of those before that."""
        return self.said[0][1] if len(self.said) == self.horizon else -1.0

    def upper(self, quantile: float = 1.0) -> float:
        """What the load will not be above, as often as `quantile` says of the last ticks."""
        if not self.said:
            return 0.0
        high = self.said[-1][2]
        if len(self.shortfalls):
            high += max(0.0, _quantile(self.shortfalls, quantile))
        return max(self.said[-1][1], min(high, PEAK * float(self.season.history[-SURPRISES:].max())))


def mixture(horizon: int) -> Mixture:
    """One that has seen nothing."""
    experts = (
        LastValue(),
        MovingAverage(4),
        MovingAverage(16),
        DampedTrend(),
        DampedTrend(0.2, 0.05, 0.98),
        SwitchingTrend(),
    )
    return Mixture(horizon, experts, Regression(horizon), np.zeros(len(experts) + 2))


def _quantile(values: Any, quantile: float) -> float:
    return float(values.max() if quantile >= 1 else np.quantile(values, quantile))


def _weights(losses: Any) -> Any:
    if losses.max() <= 0:
        return np.full(len(losses), 1 / len(losses))
    weights = (np.maximum(losses, 1e-9 * losses.max()) / losses.max()) ** -SHARPNESS
    return weights / weights.sum()
