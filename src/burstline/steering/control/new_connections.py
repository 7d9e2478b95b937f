"""Where connections that begin go: the buckets that have no packets leave cores that have too much to do.

A bucket without packets is where only a connection that begins can come, so its move holds no packet, cools no cache
and reorders nothing. Where flows are so many that no bucket is empty, there is no such choice, and evening buckets is
all that can be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from burstline.steering.control.actions import Action, MoveBucket, NewFlows, Place
from burstline.steering.control.demand import Demand, Steering
from burstline.steering.control.memory import Memory
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot, Target


def is_plain(current: Steering, plain: Steering, demand: Demand, memory: Memory, s: Settings) -> bool:
    """Whether all packets go where plain RSS would send them. Buckets that were moved while empty steer nothing until a
    connection comes to them; where what is steered goes back, they do, too."""
    if current.placed or memory.rolling or not s.new_connections:
        return not current.placed and current.reta == plain.reta
    used = ~_empty(demand)
    return bool((np.array(current.reta)[used] == np.array(plain.reta)[used]).all())


def place_new(
    memory: Memory, seen: Snapshot, demand: Demand, current: Steering, s: Settings, before: Sequence[Action]
) -> tuple[Memory, list[Action]]:
    """The emptiest core, where the one told before has clearly more to do, and moves of empty buckets; `before` is what
    this look does otherwise."""
    if not s.new_connections:
        return memory, []
    loads = current.loads(demand, len(seen.cores))
    shared = np.array([core.core not in memory.dedicated for core in seen.cores])
    if not shared.any():
        return memory, []
    memory, told = _emptiest(memory, seen, loads, shared, demand, s)
    moves = _moves(memory, seen, demand, current, loads, shared, s, before)
    moved: dict[Target, int] = {move.bucket: memory.looks for move in moves}
    budget = memory.budget.without(len(moves))
    return replace(memory, budget=budget, moved=MappingProxyType({**memory.moved, **moved})), [*told, *moves]


def _emptiest(
    memory: Memory, seen: Snapshot, loads: np.ndarray, shared: np.ndarray, demand: Demand, s: Settings
) -> tuple[Memory, list[NewFlows]]:
    to = int(np.where(shared, loads, np.inf).argmin())
    before = next((k for k, core in enumerate(seen.cores) if core.core == memory.new_core), None)
    mean = demand.total / len(seen.cores)
    if before is not None and shared[before] and loads[before] - loads[to] <= (s.enter - 1) * mean:
        return memory, []
    core = seen.cores[to].core
    was = "" if before is None else f", core {memory.new_core} {loads[before] / mean:.2f}"
    why = f"core {core} has {loads[to] / mean:.2f} of the mean load{was}"
    return replace(memory, new_core=core), [NewFlows(core, why)]


def _moves(
    memory: Memory,
    seen: Snapshot,
    demand: Demand,
    current: Steering,
    loads: np.ndarray,
    shared: np.ndarray,
    s: Settings,
    before: Sequence[Action],
) -> list[MoveBucket]:
    """Empty buckets of cores with more than `enter` times the mean load go to those with less than the mean, to each as
    many as it is below it (D'Hondt's method): all to one would only make that the fullest."""
    mean = demand.total / len(seen.cores)
    room = min(int(memory.budget.tokens), s.in_flight - len(seen.pending) - len(before))
    over = ~shared | (loads > s.enter * mean)
    if not seen.device.reta or room <= 0:
        return []
    empty = _empty(demand)
    stays = {one.target for one in seen.pending} | {one.bucket for one in before if isinstance(one, MoveBucket)}
    stays |= {target for target, look in memory.moved.items() if memory.looks - look < s.dwell}
    stays |= {target for target, (until, _) in memory.refused.items() if until > seen.time}
    placed = {one.key for one in before if isinstance(one, Place)}
    stays |= {demand.flows[key][0] for key in placed if key in demand.flows}
    below = np.where(shared, (mean - loads).clip(0), 0)
    given = np.zeros(len(loads))
    found: list[MoveBucket] = []
    for bucket in np.flatnonzero(empty).tolist():
        source = current.reta[bucket]
        if len(found) == room:
            break
        to = int((below / (given + 1)).argmax())
        if not over[source] or bucket in stays or below[to] <= 0:
            continue
        given[to] += 1
        of, core = seen.cores[source].core, seen.cores[to].core
        why = (
            f"no packet comes to it, so connections that begin may as well go where there is less to do: core {of} has "
            f"{loads[source] / mean:.2f} of the mean load, core {core} {loads[to] / mean:.2f}"
        )
        found.append(MoveBucket(bucket, core, why))
    return found


def _empty(demand: Demand) -> np.ndarray:
    """Buckets without packets, by number."""
    empty: np.ndarray = demand.remainder <= 0
    for bucket, rate in demand.flows.values():
        empty[bucket] &= rate <= 0
    return empty
