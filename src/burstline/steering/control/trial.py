"""A change on paper: what it would have brought, by looks that come after it was thought of.

What a plan gains by the numbers that it was made of says little: any two bursts look like a pattern. So it is not made
at once, but watched; each later look gives a sample of what it would have gained, and it is made when even the lower
end of what the samples allow is a gain, and no worse than plain RSS. Where traffic stays as it is that takes a few
looks; where it does not, samples scatter, and it takes more, or never comes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from burstline.steering.control.demand import Demand, Steering, cost
from burstline.steering.control.items import Change

SIGMAS = 2.0  # of the mean of the samples: the lower end
FORGETS = 0.1  # of the noise that was known, at each sample
UNKNOWN = 0.05**2  # cores squared: the noise, before anything was seen
WATCHED = 8  # looks


@dataclass(frozen=True)
class Trial:
    """`expected` is the gain, in cores, by the look that it was planned at; `gains` are those of the looks since, and
    `leads` by how much plain RSS would have cost more. `dedicates` is the place of the core that it clears, and the
    flow that gets it: such a trial need not gain, only not lose."""

    changes: tuple[Change, ...]
    expected: float
    dedicates: tuple[int, bytes] | None = None
    gains: tuple[float, ...] = ()
    leads: tuple[float, ...] = ()

    def steering(self, current: Steering) -> Steering:
        """What would be in force with it."""
        reta, placed = list(current.reta), dict(current.placed)
        for change in self.changes:
            assert change.core is not None
            if isinstance(change.target, int):
                reta[change.target] = change.core
            else:
                placed[change.target] = change.core
        return Steering(tuple(reta), placed)

    def seen(self, demand: Demand, current: Steering, plain: Steering, cores: int) -> Trial:
        """After one look more."""
        with_it, now, other = (
            cost(steering.loads(demand, cores), demand.capacity)
            for steering in (self.steering(current), current, plain)
        )
        return replace(self, gains=(*self.gains, now - with_it), leads=(*self.leads, other - with_it))

    def verdict(self, noise: float, least: float, agree: int, most: int) -> Literal["wait", "make", "drop"]:
        """`noise` is the variance that samples had of late, `least` the gain that is one, in cores."""
        looks, floor = len(self.gains), self.expected / 2 - SIGMAS * math.sqrt(noise)
        stale = not self.dedicates and self.gains[-1] < floor
        if stale or looks < agree:
            return "drop" if stale else "wait"
        enough = -least if self.dedicates else least
        if lower(self.gains, noise) >= enough and lower(self.leads, noise) >= 0:
            return "make"
        return "drop" if looks >= most or sum(self.gains) / looks < enough else "wait"

    @property
    def latest(self) -> tuple[float, float]:
        """The last sample, and what was expected of it: as much as of the one before."""
        return self.gains[-1], self.gains[-2] if len(self.gains) > 1 else self.expected


@dataclass(frozen=True)
class Made:
    """A change that was made: what would be in force without it, what it is to gain at the next look, and for how many
    looks it is still watched. The noise of trials is learnt from it, too: a flow may die when it has just been
    placed."""

    before: Steering
    expected: float
    left: int

    def gain(self, demand: Demand, current: Steering, cores: int) -> float:
        """What it gains by this look, in cores."""
        without, now = (cost(one.loads(demand, cores), demand.capacity) for one in (self.before, current))
        return without - now


def surprised(noise: float, gained: float, expected: float) -> float:
    """The variance of what changes gain, after one sample more."""
    return (1 - FORGETS) * noise + FORGETS * (gained - expected) ** 2


def lower(samples: Sequence[float], noise: float) -> float:
    """The lower end of what the mean may be."""
    mean = sum(samples) / len(samples)
    spread = sum((sample - mean) ** 2 for sample in samples) / max(1, len(samples) - 1)
    return mean - SIGMAS * math.sqrt(max(spread, noise) / len(samples))
