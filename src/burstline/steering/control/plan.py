"""The change that pays best: of the steps of a placement as many as gain more than they cost, and the budget allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.steering.control.demand import Demand, Steering, cost
from burstline.steering.control.items import Change, Items
from burstline.steering.control.makespan import Step, improve, largest_first
from burstline.steering.control.settings import Settings

BUCKET = 30  # flows whose caches are cold after a bucket has moved: how many there are, nobody tells
DEEPER = 1.02  # times the target: from here on a placement from scratch is tried
LPT = 64  # items
UNDERUSED = 0.95  # of the mean
LEEWAY = 0.1  # so that a core is not dedicated at one look, and at the next no more


@dataclass(frozen=True)
class Plan:
    """Changes, with what they gain in cores each second, what they cost in seconds of a core, and for how long the gain
    is counted on."""

    changes: tuple[Change, ...]
    steering: Steering
    gain: float
    price: float
    lifetime: float


@dataclass(frozen=True)
class Limits:
    """What a plan may take: updates, and moves at once."""

    updates: float
    moves: int
    watched: float  # seconds for which buckets have been seen
    plain: Steering

    def allow(self, changes: Sequence[Change]) -> bool:
        return sum(change.updates for change in changes) <= self.updates and len(changes) <= self.moves


def plan(items: Items, demand: Demand, settings: Settings, limits: Limits, open_to: Any) -> Plan | None:
    """None where nothing pays."""
    cores = len(items.seen.cores)
    mean = float(items.weights.sum()) / cores
    steps = improve(items.weights, items.at, items.movable, cores, settings.leave * mean, open_to=open_to)
    found = _best(items, demand, settings, limits, steps)
    reached = items.weights.sum() and _fullest(items, steps, cores) / mean
    if reached > DEEPER * settings.leave and np.all(open_to):
        scratch = largest_first(items.weights, items.at, items.movable, cores, LPT)
        again = improve(items.weights, scratch, items.movable, cores, settings.leave * mean)
        whole = Step(tuple((int(k), int(scratch[k])) for k in np.flatnonzero(scratch != items.at)))
        other = _best(items, demand, settings, limits, [whole, *again]) if whole.moves else None
        if other is not None and (found is None or net_gain(other) > net_gain(found)):
            found = other
    return found


def drain(items: Items, demand: Demand, settings: Settings, limits: Limits, core: int, open_to: Any) -> Plan | None:
    """The plan that takes all buckets away from a core, for the flow there to have it alone; None where the budget does
    not allow it at once, other cores would be too full, or it does not pay: what waits behind the flow no longer
    does."""
    cores = len(items.seen.cores)
    at, loads = items.at.copy(), np.bincount(items.at, items.weights, minlength=cores).astype(float)
    most = max(float(loads.max()), settings.leave * float(loads.mean()))
    buckets = len(items.current.reta)
    theirs = np.flatnonzero(at[:buckets] == core)
    if not items.movable[theirs].all() or not any(open_to):
        return None
    freed = float(items.weights[theirs].sum()) / demand.capacity
    for item in theirs[np.argsort(-items.weights[theirs], kind="stable")]:
        to = int(np.where(open_to, loads, np.inf).argmin())
        loads[[core, to]] += (-items.weights[item], items.weights[item])
        at[item] = to
    made = made_of(items, demand, settings, limits, at)
    pays = freed * made.lifetime > made.price
    after = cost(made.steering.loads(demand, cores), demand.capacity)
    no_worse = loads.max() <= most * (1 + 1e-9) and after <= cost(limits.plain.loads(demand, cores), demand.capacity)
    fits = no_worse and not is_underused(loads, core, settings)
    return made if made.changes and limits.allow(made.changes) and pays and fits else None


def is_underused(loads: Any, core: int, settings: Settings, *, is_dedicated: bool = False) -> bool:
    """Whether a core is too empty for one flow alone while others have too much; if it is dedicated, clearly so."""
    mean = float(loads.mean())
    least = UNDERUSED - LEEWAY if is_dedicated else UNDERUSED
    return float(loads[core]) < least * mean and float(loads.max()) > settings.enter * mean


def _fullest(items: Items, steps: Sequence[Step], cores: int) -> float:
    at = items.at.copy()
    for step in steps:
        for item, core in step.moves:
            at[item] = core
    return float(np.bincount(at, items.weights, minlength=cores).max())


def _best(items: Items, demand: Demand, settings: Settings, limits: Limits, steps: Sequence[Step]) -> Plan | None:
    """Of all first parts of the steps that the budget allows the one with the highest net gain."""
    found: Plan | None = None
    at = items.at.copy()
    for step in steps:
        for item, core in step.moves:
            at[item] = core
        made = made_of(items, demand, settings, limits, at)
        if not limits.allow(made.changes):
            break
        if made.changes and net_gain(made) > 0 and (found is None or net_gain(made) > net_gain(found)):
            found = made
    if found is None:
        return None
    cores = len(items.seen.cores)
    after, plain = (cost(one.loads(demand, cores), demand.capacity) for one in (found.steering, limits.plain))
    return found if found.gain >= settings.gain * demand.total / cores / demand.capacity and after <= plain else None


def net_gain(made: Plan) -> float:
    """Seconds of a core."""
    return made.gain * made.lifetime - made.price


def made_of(items: Items, demand: Demand, settings: Settings, limits: Limits, at: Any) -> Plan:
    """The plan that has items where `at` says."""
    cores, changes = len(items.seen.cores), items.changes(at)
    ages = {flow.key: flow.age for flow in items.seen.flows}
    price, lifetime = 0.0, settings.horizon
    for change in changes:
        flows = BUCKET if isinstance(change.target, int) else 1
        price += items.rate(change.target) / demand.capacity * settings.held + settings.cold * flows
        # Of a flow as of a bucket that was seen for so long as much is expected again, and no more: lifetimes of flows
        # are heavy-tailed (V. Paxson and S. Floyd, "Wide-area traffic: the failure of Poisson modeling", 1995).
        lifetime = min(lifetime, limits.watched if isinstance(change.target, int) else ages[change.target])
    steering = items.after(at)
    gain = cost(items.current.loads(demand, cores), demand.capacity) - cost(
        steering.loads(demand, cores), demand.capacity
    )
    return Plan(tuple(changes), steering, gain, price, lifetime)
