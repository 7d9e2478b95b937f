"""What a simulation measured, look by look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.numa.balance.actions import Action, MoveGroup, Park, Wake
from burstline.numa.balance.seen import Floats, Ints
from burstline.numa.simulate.events import BINS, PARTS


def edges() -> Floats:
    """The lower end of each bin of waits, ns, and one more for the end of the last."""
    bins = np.arange(BINS + 1)
    exponent, part = bins // PARTS + 3, bins % PARTS
    found: Floats = np.where(bins < PARTS, bins, np.ldexp(1.0 + part / PARTS, exponent))
    return found


def quantile(counts: Ints, share: float) -> float:
    """ns up to which so many of all packets waited, taken to be even within a bin; 0 where there were none."""
    total = int(counts.sum())
    if not total:
        return 0.0
    below = np.cumsum(counts)
    k = int(np.searchsorted(below, share * total))
    low, high = edges()[k : k + 2]
    before = below[k] - counts[k]
    return float(low + (high - low) * (share * total - before) / counts[k])


@dataclass
class Outcome:
    """By look: `times` (its end, s), by worker `busy` and `offered` (packets/s), how many were `parked`, `waits`
    (counts by bin), packets that came, were handled, dropped and held, and groups that began to move."""

    policy: str
    traffic: str
    machine: str
    look: float
    times: list[float] = field(default_factory=list)
    busy: list[Floats] = field(default_factory=list)
    offered: list[Floats] = field(default_factory=list)
    parked: list[int] = field(default_factory=list)
    waits: list[Ints] = field(default_factory=list)
    came: list[int] = field(default_factory=list)
    handled: list[int] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    log: list[tuple[float, Action]] = field(default_factory=list)

    def wait(self, share: float = 0.99, since: float = 0.0) -> float:
        """ns that packets waited until a worker took them, those that a move held included."""
        chosen = [counts for time, counts in zip(self.times, self.waits, strict=True) if time > since]
        return quantile(np.sum(chosen, axis=0), share) if chosen else 0.0

    def moves(self, since: float = 0.0) -> int:
        """Groups that were moved."""
        return sum(isinstance(action, MoveGroup) for time, action in self.log if time > since)

    @property
    def packets(self) -> int:
        return sum(self.came)

    @property
    def drops(self) -> int:
        return sum(self.dropped)

    def as_json(self) -> dict[str, Any]:
        return {
            "policy": self.policy, "packets": self.packets, "handled": sum(self.handled), "dropped": self.drops,
            "held": sum(self.held), "moves": self.moves(),
            "parked": sum(isinstance(action, Park) for _, action in self.log),
            "woken": sum(isinstance(action, Wake) for _, action in self.log),
            "wait_us": {f"p{100 * q:g}": self.wait(q) / 1e3 for q in (0.5, 0.9, 0.99, 0.999)},
            "busy": [float(b) for b in np.mean(self.busy, axis=0)] if self.busy else [],
        }  # fmt: skip
