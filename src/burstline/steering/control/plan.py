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

BUCKET = 10  # flows whose caches are cold after a bucket has moved: how many there are, nobody tells
DEEPER = 1.02  # times the target: from here on a placement from scratch is tried
LPT = 64  # items


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
    """What a plan may take: updates, moves at once, and the looks by each of which it must pay."""

    updates: float
    moves: int
    agree: Sequence[Demand]
    watched: float  # seconds for which buckets have been seen
    plain: Steering


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
        if other is not None and (found is None or _net(other) > _net(found)):
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
    made = _made(items, demand, settings, limits, at)
    within = sum(c.updates for c in made.changes) <= limits.updates and len(made.changes) <= limits.moves
    pays = freed * made.lifetime > made.price
    after = cost(made.steering.loads(demand, cores), demand.capacity)
    no_worse = loads.max() <= most * (1 + 1e-9) and after <= cost(limits.plain.loads(demand, cores), demand.capacity)
    return made if made.changes and within and pays and no_worse else None


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
        made = _made(items, demand, settings, limits, at)
        if len(made.changes) > limits.moves or sum(c.updates for c in made.changes) > limits.updates:
            break
        if made.changes and _net(made) > 0 and (found is None or _net(made) > _net(found)):
            found = made
    return found if found is not None and _agreed(items, found, settings, limits) else None


def _net(made: Plan) -> float:
    return made.gain * made.lifetime - made.price


def _made(items: Items, demand: Demand, settings: Settings, limits: Limits, at: Any) -> Plan:
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


def _agreed(items: Items, made: Plan, settings: Settings, limits: Limits) -> bool:
    """Whether each of the last looks says that it gains, and is no worse than plain RSS."""
    cores = len(items.seen.cores)
    for demand in limits.agree:
        if demand.capacity <= 0:
            return False
        before, after, plain = (
            cost(steering.loads(demand, cores), demand.capacity)
            for steering in (items.current, made.steering, limits.plain)
        )
        least = settings.gain * demand.total / cores / demand.capacity
        if before - after < least or after > plain:
            return False
    return True
