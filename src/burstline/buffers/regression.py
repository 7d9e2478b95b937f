"""A forecast learnt from the load itself: a weighted sum of what was seen, its weights fitted tick by tick."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.buffers.season import Seasonal

LAGS = (0, 1, 2, 3, 5, 8)  # ticks back
SPANS = (4, 16, 64, 256)  # ticks back over which means are taken: a self-similar load has memory at all of them
FEATURES = 1 + len(LAGS) + len(SPANS) + 3
FORGETTING = 0.999
START = 100.0  # of the inverse covariance: weights are free to move at first


@dataclass(frozen=True)
class Regression:
    """Recursive least squares with forgetting (S. Haykin, "Adaptive Filter Theory", chapter 10) from levels now, before
    and a season ago to the load `horizon` ticks later. It forecasts that far, whatever is asked."""

    horizon: int
    weights: Any = field(default_factory=lambda: _unit(0))
    inverse: Any = field(default_factory=lambda: START * np.eye(FEATURES))
    seen: Seasonal = field(default_factory=Seasonal)
    waiting: tuple[Any, ...] = ()  # what was seen at the last ticks, whose outcome is not known yet
    scale: float = 1.0  # loads are divided by it

    def observe(self, value: float) -> Regression:
        weights, inverse = self.weights, self.inverse
        scale = max(self.scale, abs(value))
        if len(self.waiting) == self.horizon:
            x, then = self.waiting[0]
            x = x * (then / scale)  # or the first packets after none at all would count as any number of times more
            gain = inverse @ x / (FORGETTING + x @ inverse @ x)
            weights = weights + gain * (value / scale - x @ weights)
            inverse = (inverse - np.outer(gain, x @ inverse)) / FORGETTING
            inverse = (inverse + inverse.T) / 2
            if inverse.trace() > START * FEATURES:  # of directions that are never seen it would grow without end
                inverse = inverse * (START * FEATURES / inverse.trace())
        seen = self.seen.observe(value)
        waiting = (*self.waiting, (_features(seen, self.horizon, scale), scale))[-self.horizon :]
        return Regression(self.horizon, weights, inverse, seen, waiting, scale)

    def ahead(self, ticks: int) -> float:
        if not self.waiting:
            return 0.0
        x, scale = self.waiting[-1]
        return max(0.0, float(x @ self.weights) * float(scale))


def _features(seen: Seasonal, horizon: int, scale: float) -> Any:
    history = seen.history
    levels = [history[-1 - lag] if lag < len(history) else history[0] for lag in LAGS]
    means = [history[-span:].mean() for span in SPANS]
    around = (seen.then(horizon), seen.then(0), seen.then(horizon + 2))
    return np.array([0.1 * scale, *levels, *means, *around]) / scale


def _unit(place: int) -> Any:
    """At first: as much as now."""
    weights = np.zeros(FEATURES)
    weights[1 + place] = 1.0
    return weights
