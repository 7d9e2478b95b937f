"""What a simulation measured, by epoch and core."""

from __future__ import annotations

from typing import Any

import numpy as np

from burstline.steering.control.actions import Action, MoveBucket, Place, Release


class Outcome:
    """`loads` are offered packets and cold caches, in cores, so that more than 1 is overload; `plain` is what plain RSS
    would have had of the same packets; `dropped`, `held` and `moved` (flows) are numbers in the epoch, `waits` seconds
    in the queue; `rules` are those that take room, `steered` tells whether anything was; `updates` are times and
    numbers."""

    def __init__(self, policy: str, epochs: int, cores: int, step: float) -> None:
        self.policy, self.step = policy, step
        self.offered, self.loads, self.plain, self.dropped, self.waits = (np.zeros((epochs, cores)) for _ in range(5))
        self.held, self.moved, self.rules = (np.zeros(epochs) for _ in range(3))
        self.steered = np.zeros(epochs, bool)
        self.log: list[tuple[float, Action]] = []
        self.updates: list[tuple[float, int]] = []

    @property
    def imbalance(self) -> Any:
        """The fullest core's load by the mean, of each epoch; 1 where nothing came."""
        return imbalance(self.loads)

    @property
    def drops(self) -> float:
        """Packets dropped in all."""
        return float(self.dropped.sum())

    @property
    def fullest(self) -> float:
        """The sum over all epochs of the fullest core's load, in core-epochs: the measure by which a policy is never
        worse than plain RSS, as each packet counts in it alike."""
        return float(self.loads.max(axis=1).sum())

    @property
    def cost(self) -> float:
        """That sum with what cores could not do at all beside it, in core-epochs: what the controller's ledger
        counts."""
        return cost_of(self.loads)

    @property
    def moves(self) -> int:
        """Placements, releases and bucket moves that were asked for."""
        return sum(isinstance(action, Place | Release | MoveBucket) for _, action in self.log)

    def wait(self, quantile: float = 0.99) -> float:
        """Seconds in the queue, of that share of all packets."""
        waits, weights = self.waits.ravel(), self.offered.ravel()
        order = np.argsort(waits)
        below = np.cumsum(weights[order])
        return float(waits[order][np.searchsorted(below, quantile * below[-1])]) if below[-1] > 0 else 0.0


def cost_of(loads: Any) -> float:
    """Of loads in cores, by epoch and core: the sums of the fullest core's and of all overload."""
    return float(loads.max(axis=1).sum() + np.maximum(loads - 1, 0).sum())


def imbalance(loads: Any) -> Any:
    """Of loads by epoch and core: the largest by the mean."""
    means = loads.mean(axis=1)
    return np.where(means > 0, loads.max(axis=1) / np.where(means > 0, means, 1), 1.0)
