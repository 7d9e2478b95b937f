"""Forecasting a load that is seen once a tick: how much it will be so many ticks from now.

A forecaster is a value that never changes: `observe` gives the one that has seen one tick more. So the same ones run in
the engine, in simulators and in tests. NumPy is all they need: the well-kept libraries for time series fit a model to a
whole series; these take one more tick, the mixture of all of them in about a quarter of a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Forecaster(Protocol):
    """What all forecasters have."""

    def observe(self, value: float) -> Forecaster:
        """This forecaster after another tick, at which the load was `value`."""

    def ahead(self, ticks: int) -> float:
        """The load that it expects so many ticks (at least 1) after the last one; 0 when it has seen none."""


@dataclass(frozen=True)
class LastValue:
    """As much as now."""

    value: float = 0.0

    def observe(self, value: float) -> LastValue:
        return LastValue(value)

    def ahead(self, ticks: int) -> float:
        return self.value


@dataclass(frozen=True)
class MovingAverage:
    """The mean of the last `window` ticks."""

    window: int = 8
    values: tuple[float, ...] = ()

    def observe(self, value: float) -> MovingAverage:
        return MovingAverage(self.window, (*self.values, value)[-self.window :])

    def ahead(self, ticks: int) -> float:
        return sum(self.values) / len(self.values) if self.values else 0.0


@dataclass(frozen=True)
class DampedTrend:
    """Level and trend, each smoothed exponentially; the trend flattens out by `damping` a tick.

    C. C. Holt, "Forecasting seasonals and trends by exponentially weighted moving averages", ONR memorandum 52, 1957;
    E. S. Gardner and E. McKenzie, "Forecasting trends in time series", Management Science 31(10), 1985.
    """

    level_weight: float = 0.6
    trend_weight: float = 0.3
    damping: float = 0.9
    level: float = 0.0
    trend: float = 0.0
    ticks: int = 0

    def observe(self, value: float) -> DampedTrend:
        a, b, damping = self.level_weight, self.trend_weight, self.damping
        if self.ticks == 0:
            level, trend = value, 0.0
        else:
            expected = self.level + damping * self.trend
            level = a * value + (1 - a) * expected
            trend = b * (level - self.level) + (1 - b) * damping * self.trend
        return DampedTrend(a, b, damping, level, trend, self.ticks + 1)

    def ahead(self, ticks: int) -> float:
        reach = self.damping * (1 - self.damping**ticks) / (1 - self.damping)
        return max(0.0, self.level + reach * self.trend)
