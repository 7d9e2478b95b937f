"""What packets there are, wherever they go: the flows and buckets of a snapshot, as if no queue had dropped any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from burstline.steering.control.snapshot import Snapshot


@dataclass(frozen=True)
class Demand:
    """Packets/s: of each bucket without the heavy flows in it, of each heavy flow beside its bucket, and by core of
    what nobody moves. `capacity` is what one core can do, by how busy cores were; 0 where nothing came."""

    capacity: float
    remainder: Any  # float64 by bucket
    flows: Mapping[bytes, tuple[int, float]]
    fixed: Any  # float64 by core

    @property
    def total(self) -> float:
        return float(self.remainder.sum() + self.fixed.sum()) + sum(rate for _, rate in self.flows.values())


@dataclass(frozen=True)
class Steering:
    """Where packets go: cores, as places in the snapshot, by bucket, and by flow where a rule holds it."""

    reta: tuple[int, ...]
    placed: Mapping[bytes, int]

    def loads(self, demand: Demand, cores: int) -> Any:
        """Packets/s of each core."""
        by_bucket = demand.remainder.copy()
        elsewhere = demand.fixed.copy()
        for key, (bucket, rate) in demand.flows.items():
            core = self.placed.get(key)
            if core is None:
                by_bucket[bucket] += rate
            else:
                elsewhere[core] += rate
        return elsewhere + np.bincount(self.reta, by_bucket, minlength=cores)


def demand_of(seen: Snapshot, usual: float = 0.0) -> Demand:
    """The demand of a snapshot. A queue that drops does so to all alike: what its core processed of each flow grows by
    what was missed. `usual` is the capacity as it was known before, for looks at which cores had nothing to do."""
    place = {core.core: k for k, core in enumerate(seen.cores)}
    grown = np.array([1 + core.missed / core.packets if core.packets > 0 else 1.0 for core in seen.cores])
    remainder = np.array(seen.buckets, float)
    flows = {}
    for flow in seen.flows:
        remainder[flow.bucket] -= flow.packets
        flows[flow.key] = (flow.bucket, flow.packets * float(grown[place[flow.core]]))
    remainder = remainder.clip(0) * grown[[place[core] for core in seen.reta]]
    busy, packets = sum(core.load for core in seen.cores), sum(core.packets for core in seen.cores)
    measured = packets / busy if busy > 1e-3 * len(seen.cores) else usual
    fixed = np.array(seen.fixed or [0.0] * len(seen.cores), float) * grown
    return Demand(measured, remainder, MappingProxyType(flows), fixed)


def steering_of(seen: Snapshot) -> Steering:
    """What is in force, with what is on its way already there."""
    place = {core.core: k for k, core in enumerate(seen.cores)}
    coming = {pending.target: place[pending.core] for pending in seen.pending}
    reta = tuple(coming.get(bucket, place[core]) for bucket, core in enumerate(seen.reta))
    placed = {flow.key: place[flow.core] for flow in seen.flows if flow.rule not in (None, "reta")}
    placed |= {target: core for target, core in coming.items() if isinstance(target, bytes)}
    return Steering(reta, placed)


def plain_of(seen: Snapshot) -> Steering:
    """What plain RSS would do."""
    place = {core.core: k for k, core in enumerate(seen.cores)}
    return Steering(tuple(place[core] for core in seen.rss), {})


def cost(loads: Any, capacity: float) -> float:
    """How bad loads are, in cores: that of the fullest core, and beside it what cores cannot do at all."""
    busy = loads / capacity
    return float(busy.max() + np.maximum(busy - 1, 0).sum())
