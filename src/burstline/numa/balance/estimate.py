"""What each group is believed to bring: a mean that narrows while traffic stays as it is, and begins anew when it
does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burstline.numa.balance.seen import Floats, Ints

LEAST = 0.05  # weight of the newest look, at least
# Standard deviations: traffic has changed. Of 64 groups at 100 looks a second one were 5 off by chance each 5 minutes.
SURPRISE = 6.5
MOST_DISPERSED = 64.0


@dataclass(frozen=True)
class Estimate:
    """By group: packets/s, and looks since it last changed, at most 1/LEAST; `since` is when that was. `dispersion` is
    the variance of a look's packets by their mean (1 of a Poisson process; trains have more)."""

    rates: Floats
    looks: Ints
    since: Floats
    dispersion: float = 1.0

    @classmethod
    def first(cls, rates: Floats, time: float) -> Estimate:
        return cls(rates.copy(), np.ones(len(rates), dtype=np.int64), np.full(len(rates), time))

    def seen(
        self, rates: Floats, step: float, time: float, ignored: np.ndarray[tuple[int], np.dtype[np.bool_]]
    ) -> Estimate:
        """After another look of `step` seconds; what is `ignored` stays as it was."""
        off = rates - self.rates
        expected = np.maximum((self.rates + rates) / 2, 1 / step)
        # Of the estimate itself, too: it is a mean over so many looks.
        spread = np.sqrt(expected * self.dispersion / step * (1 + 1 / self.looks))
        jumped = (np.abs(off) > SURPRISE * spread) & ~ignored
        weight = np.where(jumped, 1.0, np.maximum(1 / (self.looks + 1), LEAST))
        found = np.where(ignored, self.rates, self.rates + weight * off)
        looks = np.where(jumped, 1, np.minimum(self.looks + 1, round(1 / LEAST)))
        quiet = ~jumped & ~ignored & (self.looks > 3) & (self.rates * step > 1)
        dispersion = self.dispersion
        if quiet.any():
            now = float(np.mean(off[quiet] ** 2 * step / expected[quiet]) / (1 + LEAST))
            dispersion += LEAST * (min(MOST_DISPERSED, max(1.0, now)) - dispersion)
        return Estimate(found, np.where(ignored, self.looks, looks), np.where(jumped, time, self.since), dispersion)

    def variance(self, step: float) -> Floats:
        """Of each rate."""
        found: Floats = np.maximum(self.rates, 1 / step) * self.dispersion / step / self.looks
        return found
