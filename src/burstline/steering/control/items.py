"""Flows and buckets as items that a placement can move, and a new placement as the updates that make it so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from burstline.steering.control.degradation import Chosen
from burstline.steering.control.demand import Demand, Steering
from burstline.steering.control.snapshot import Snapshot, Target


class Change(NamedTuple):
    """A flow or a bucket goes to a core, as a place in the snapshot; None: the flow's rule goes."""

    target: Target
    core: int | None
    updates: int


@dataclass(frozen=True)
class Items:
    """First the buckets, then the flows of `keys`, which can go where their buckets do not; last, for each core, what
    stays there in any case."""

    seen: Snapshot
    current: Steering
    keys: tuple[bytes, ...]
    weights: Any
    at: Any
    movable: Any

    @property
    def flows(self) -> slice:
        """The places of those of `keys`."""
        buckets = len(self.current.reta)
        return slice(buckets, buckets + len(self.keys))

    def after(self, at: Any) -> Steering:
        """The steering under which items are where `at` says."""
        buckets = len(self.current.reta)
        reta = tuple(int(core) for core in at[:buckets])
        placed = {key: core for key, core in self.current.placed.items() if key not in set(self.keys)}
        of = {flow.key: flow.bucket for flow in self.seen.flows}
        for key, core in zip(self.keys, at[self.flows], strict=True):
            if key in self.current.placed or reta[of[key]] != core:
                placed[key] = int(core)
        return Steering(reta, placed)

    def changes(self, at: Any) -> list[Change]:
        """What has to be updated for that, rules first: a flow that stays must not go with its bucket."""
        device, after = self.seen.device, self.after(at)
        found = []
        for key, core in after.placed.items():
            before = self.current.placed.get(key)
            if before != core:  # a rule that changes is deleted and made anew
                found.append(Change(key, core, device.rules_a_flow * (1 if before is None else 2)))
        for bucket, (was, core) in enumerate(zip(self.current.reta, after.reta, strict=True)):
            if was != core:
                found.append(Change(bucket, core, 1))
        return found

    def rate(self, target: Target) -> float:
        """Packets/s of a flow or a bucket."""
        buckets = len(self.current.reta)
        return float(self.weights[target if isinstance(target, int) else buckets + self.keys.index(target)])


def items_of(
    seen: Snapshot, demand: Demand, current: Steering, chosen: Mapping[bytes, Chosen], blocked: Collection[Target]
) -> Items:
    """What can be placed. Flows at the level of the RETA, or at none, are part of their buckets; what is `blocked`
    stays where it is."""
    weights = demand.remainder.copy()
    keys, rates, at = [], [], list(current.reta)
    for key, (bucket, rate) in demand.flows.items():
        level = chosen[key].level if key in chosen else None
        if key in current.placed or level in ("exact", "wildcard", "software"):
            keys.append(key)
            rates.append(rate)
            at.append(current.placed.get(key, current.reta[bucket]))
        else:
            weights[bucket] += rate
    movable = [seen.device.reta and bucket not in blocked for bucket in range(len(current.reta))]
    movable += [key not in blocked for key in keys]
    stays = np.flatnonzero(demand.fixed)
    at, movable = [*at, *stays.tolist()], [*movable, *[False] * len(stays)]
    weights = np.concatenate([weights, np.array(rates, float), demand.fixed[stays]])
    return Items(seen, current, tuple(keys), weights, np.array(at), np.array(movable))
