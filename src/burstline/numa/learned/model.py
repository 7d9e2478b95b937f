"""Nanoseconds a packet: the analytic prior, and what regression has learned of how far it is off.

The learned part is used as long as it predicts better than the prior alone, by the errors of both on measurements that
neither had seen; otherwise it is switched off, and learns on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from burstline.numa.learned.features import TERMS, Features, Prior, terms
from burstline.numa.learned.regression import Regression

ENOUGH = 40  # measurements, before anything learned is used
RECENT = 0.02  # weight of the newest error
ON, OFF = 0.9, 1.0  # times the prior's error: below it is switched on, above off
BOUNDS = (0.1, 50.0)  # times the prior: what is predicted stays within


@dataclass(frozen=True)
class Switched:
    """When (measurements) what was learned was switched on or off, and why."""

    at: int
    on: bool
    reason: str


@dataclass(frozen=True)
class CostOfPackets:
    """A value: `learn` gives another one. `errors` are means of the prior's and the learned model's, as shares of what
    was measured."""

    prior: Prior = field(default_factory=Prior)
    regression: Regression = field(default_factory=lambda: Regression.start(len(TERMS)))
    errors: tuple[float, float] = (0.0, 0.0)
    count: int = 0
    is_on: bool = False
    log: tuple[Switched, ...] = ()

    def learned(self, seen: Features) -> float:
        """ns, whether it is trusted or not."""
        prior = self.prior.predict(seen)
        found = prior + self.regression.predict(terms(seen, prior))
        return min(max(found, BOUNDS[0] * prior), BOUNDS[1] * prior)

    def predict(self, seen: Features) -> float:
        """ns: of what was learned where that is better, else of the prior."""
        return self.learned(seen) if self.is_on else self.prior.predict(seen)

    def learn(self, seen: Features, ns: float) -> CostOfPackets:
        """Having measured so many ns a packet. What cannot be is left out."""
        if not 0 < ns < 1e7:
            return self
        prior = self.prior.predict(seen)
        off = abs(prior - ns) / ns, abs(self.learned(seen) - ns) / ns
        weight = max(RECENT, 1 / (self.count + 1))
        errors = tuple(old + weight * (new - old) for old, new in zip(self.errors, off, strict=True))
        made = replace(
            self, regression=self.regression.learn(terms(seen, prior), ns - prior), errors=(errors[0], errors[1]),
            count=self.count + 1,
        )  # fmt: skip
        return made._switched()

    def _switched(self) -> CostOfPackets:
        prior, learned = self.errors
        on = self.is_on
        if not on and self.count >= ENOUGH and learned < ON * prior:
            on = True
        elif on and learned > OFF * prior:
            on = False
        if on == self.is_on:
            return self
        reason = f"it is off by {100 * learned:.1f} %, the prior by {100 * prior:.1f} %, lately"
        return replace(self, is_on=on, log=(*self.log[-63:], Switched(self.count, on, reason)))
