"""Recursive least squares that forgets: what was learned long ago counts less, and what was never tried stays unknown
without the numbers running away.

The covariance would grow without end where nothing new is seen (wind-up: K. J. Åström and B. Wittenmark, Adaptive
Control, 1995, section 11.5); its trace is bounded here. A measurement that is far off moves no more than one that is
`CLIP` times the usual error off (P. J. Huber, Robust Statistics, 1981).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from burstline.numa.balance.seen import Floats

FORGET = 0.998  # weight of a measurement by the one after it
FIRST, MOST = 100.0, 1000.0  # variance of each weight at first; the trace of the covariance, at most
CLIP, USUAL = 4.0, 0.05  # times the usual error; weight of the newest in that


@dataclass(frozen=True)
class Regression:
    """Weights of terms, their covariance, and the usual error (absolute) of a prediction; `count` measurements."""

    weights: Floats
    covariance: Floats
    error: float = 0.0
    count: int = 0

    @classmethod
    def start(cls, terms: int) -> Regression:
        return cls(np.zeros(terms), np.eye(terms) * min(FIRST, MOST / terms))

    def predict(self, terms: Floats) -> float:
        return float(self.weights @ terms)

    def learn(self, terms: Floats, value: float) -> Regression:
        """Having measured `value`. What is no number is left out."""
        if not (np.isfinite(terms).all() and np.isfinite(value)):
            return self
        off = value - self.predict(terms)
        error = abs(off) if not self.count else self.error + USUAL * (min(abs(off), CLIP * self.error) - self.error)
        if self.count > 10:
            off = float(np.clip(off, -CLIP * self.error, CLIP * self.error))
        gained = self.covariance @ terms
        gain = gained / (FORGET + float(terms @ gained))
        covariance = (self.covariance - np.outer(gain, gained)) / FORGET
        covariance = (covariance + covariance.T) / 2
        trace = float(np.trace(covariance))
        if trace > MOST:
            covariance *= MOST / trace
        return replace(
            self, weights=self.weights + gain * off, covariance=covariance, error=max(error, 1e-9), count=self.count + 1
        )
