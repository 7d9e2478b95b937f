"""A trend that is steady most of the time and changes at once now and then."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log

CHANGES = (1e-6, 1e-4, 1e-2)  # variance of a tick's change of trend, beside that of the noise, in each of the models
STAY = 0.99  # from one tick to the next in the same model
DAMPING = 0.95  # of a trend that is extrapolated, by tick
SLOWLY = 0.01  # how the noise is learnt
LEAST_NOISE = 1 / 12  # the variance of rounding: loads are whole numbers of buffers


@dataclass(frozen=True)
class Line:
    """Level and trend as one model has them, with their variances and covariance beside that of the noise."""

    weight: float
    level: float
    trend: float
    level_variance: float = 1.0
    covariance: float = 0.0
    trend_variance: float = 0.1


@dataclass(frozen=True)
class SwitchingTrend:
    """Kalman filters of level and trend side by side, which differ in how much the trend may change; how likely each is
    tells what was seen. In quiet times it smooths, in the onset of a crowd it follows within some ticks.

    P. J. Harrison and C. F. Stevens, "Bayesian forecasting", Journal of the Royal Statistical Society B 38(3), 1976
    (multi-process models, class II); mixed before each tick, not after it, as H. A. P. Blom and Y. Bar-Shalom, "The
    interacting multiple model algorithm", IEEE Transactions on Automatic Control 33(8), 1988.
    """

    lines: tuple[Line, ...] = ()
    noise: float = LEAST_NOISE  # variance

    def observe(self, value: float) -> SwitchingTrend:
        if not self.lines:
            noise = max(LEAST_NOISE, (0.05 * value) ** 2)
            return SwitchingTrend(tuple(Line(1 / len(CHANGES), value, 0.0) for _ in CHANGES), noise)
        seen = [_update(self._mixed(model), change, value, self.noise) for model, change in enumerate(CHANGES)]
        best = max(likely for _, likely, _ in seen)
        weights = [line.weight * exp(likely - best) for line, likely, _ in seen]
        total = sum(weights)
        lines = tuple(
            Line(weight / total, line.level, line.trend, line.level_variance, line.covariance, line.trend_variance)
            for weight, (line, _, _) in zip(weights, seen, strict=True)
        )
        surprise = sum(line.weight * squared for line, (_, _, squared) in zip(lines, seen, strict=True))
        # One tick that no model explains says little about the noise.
        noise = (1 - SLOWLY) * self.noise + SLOWLY * min(surprise, 9 * self.noise)
        return SwitchingTrend(lines, max(LEAST_NOISE, noise))

    def ahead(self, ticks: int) -> float:
        reach = DAMPING * (1 - DAMPING**ticks) / (1 - DAMPING)
        return max(0.0, sum(line.weight * (line.level + reach * line.trend) for line in self.lines))

    def _mixed(self, model: int) -> Line:
        """What a model begins a tick with: it may have been any of them a tick ago."""
        move = (1 - STAY) / (len(self.lines) - 1)
        shares = [(STAY if k == model else move) * line.weight for k, line in enumerate(self.lines)]
        total = sum(shares)
        parts = [(share / total, line) for share, line in zip(shares, self.lines, strict=True)]
        level = sum(share * line.level for share, line in parts)
        trend = sum(share * line.trend for share, line in parts)
        a = b = c = 0.0
        for share, line in parts:
            up, on = line.level - level, line.trend - trend
            a += share * (line.level_variance + up * up / self.noise)
            b += share * (line.covariance + up * on / self.noise)
            c += share * (line.trend_variance + on * on / self.noise)
        return Line(total, level, trend, a, b, c)


def _update(line: Line, change: float, value: float, noise: float) -> tuple[Line, float, float]:
    """A tick of one filter: what it has then, the logarithm of how likely the value was, and its squared error, as much
    of it as is noise."""
    level, trend = line.level + line.trend, line.trend
    a = line.level_variance + 2 * line.covariance + line.trend_variance + change / 3
    b = line.covariance + line.trend_variance + change / 2
    c = line.trend_variance + change
    spread, error = a + 1, value - level
    squared = error * error / spread
    after = Line(
        line.weight, level + a / spread * error, trend + b / spread * error, a / spread, b / spread, c - b * b / spread
    )
    return after, -(squared / noise + log(spread)) / 2, squared
