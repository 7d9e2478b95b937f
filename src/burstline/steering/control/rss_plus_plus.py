"""`rss_plus_plus`: buckets move from cores above the mean to those below, greedily; flows are not looked at.

It is the way of T. Barbette, G. P. Katsikas, G. Q. Maguire Jr. and D. Kostić, "RSS++: load and state-aware receive side
scaling", CoNEXT 2019, section 4, as a policy for comparison: fullest core first, its largest bucket that the emptiest
core has room for, while the imbalance is above a threshold. It moves what it wants, within the device's update rate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from burstline.steering.control.actions import Action, MoveBucket
from burstline.steering.control.budget import Budget
from burstline.steering.control.demand import Demand, demand_of, steering_of
from burstline.steering.control.snapshot import Snapshot

THRESHOLD = 0.02  # of the mean: less is no imbalance


@dataclass(frozen=True)
class State:
    budget: Budget = field(default_factory=Budget)
    capacity: float = 0.0


@dataclass(frozen=True)
class RssPlusPlus:
    """A policy over the RETA."""

    name: str = "RSS++"

    def start(self) -> State:
        return State()

    def decide(self, memory: State, seen: Snapshot) -> tuple[State, list[Action]]:
        demand = demand_of(seen, memory.capacity)
        budget = memory.budget.at(seen.time, seen.device.updates, 1)
        if demand.capacity <= 0 or not seen.device.reta:
            return State(budget, demand.capacity), []
        pending = {one.target for one in seen.pending}
        reta, rates = list(steering_of(seen).reta), with_flows(demand)
        loads = np.bincount(reta, rates, minlength=len(seen.cores)).astype(float)
        mean = float(loads.mean())
        actions: list[Action] = []
        for top in np.argsort(-loads, kind="stable"):
            mine = [b for b in np.argsort(-rates, kind="stable") if reta[b] == top and int(b) not in pending]
            for bucket in map(int, mine):
                if loads[top] <= (1 + THRESHOLD) * mean or budget.tokens < 1:
                    break
                low, rate = int(loads.argmin()), float(rates[bucket])
                if rate <= 0 or loads[low] + rate > max(mean, loads[top] - rate) * (1 + THRESHOLD):
                    continue
                why = (
                    f"core {seen.cores[top].core} has {loads[top] / mean:.2f} of the mean load, core "
                    f"{seen.cores[low].core} {loads[low] / mean:.2f}, the bucket {rate / mean:.3f}"
                )
                actions.append(MoveBucket(bucket, seen.cores[low].core, why))
                budget = budget.without(1)
                loads[[top, low]] += (-rate, rate)
                reta[bucket] = low
        return State(budget, demand.capacity), actions


def with_flows(demand: Demand) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Packets/s of each bucket, heavy flows and all."""
    rates: np.ndarray[tuple[int], np.dtype[np.float64]] = demand.remainder.copy()
    for bucket, rate in demand.flows.values():
        rates[bucket] += rate
    return rates
