"""The steering controller: a pure policy, from what it remembers and a snapshot to what it remembers and actions.

It looks at heavy flows and buckets, and steers when that pays by the numbers of several looks in a row; it computes
from each snapshot what plain RSS would do with the same packets, and goes back to it when that would do as well or
better. Plain RSS often does: per-flow balancing loses where there are more than a few elephants and moves are not free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from burstline.steering.control import reasons
from burstline.steering.control.actions import Action, MoveBucket, Place, Release, Undedicate
from burstline.steering.control.demand import Demand, Steering, cost, demand_of, plain_of, steering_of
from burstline.steering.control.items import Change, Items, items_of
from burstline.steering.control.levels import Chosen, levels_of
from burstline.steering.control.marks import mark_paths, new_flows
from burstline.steering.control.memory import Memory
from burstline.steering.control.plan import Limits, Plan, drain, plan
from burstline.steering.control.retreat import retreat
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot

K = TypeVar("K")
V = TypeVar("V")
SOON = 10  # looks for which something that failed is left alone, doubled each time
SHORT = 8  # flows: with room for fewer, rules of slow ones go


@dataclass(frozen=True)
class Controller:
    """`memory, actions = controller.decide(memory, snapshot)`, beginning with `Memory()`."""

    settings: Settings = field(default_factory=Settings)
    name: str = "per-flow"

    def start(self) -> Memory:
        return Memory()

    def decide(self, memory: Memory, seen: Snapshot) -> tuple[Memory, list[Action]]:
        """What to do now. Raises nothing: a snapshot without packets has no actions."""
        s = self.settings
        memory, demand = looked(memory, seen, s)
        current, plain = steering_of(seen), plain_of(seen)
        if demand.capacity <= 0:
            return memory, []
        cores = len(seen.cores)
        ours = cost(current.loads(demand, cores), demand.capacity)
        other = cost(plain.loads(demand, cores), demand.capacity)
        mean = demand.total / cores / demand.capacity
        is_steering = bool(current.placed) or current.reta != plain.reta
        actions: list[Action] = []
        if is_steering:
            memory = judged(memory, seen.time, ours, other, s.gain * mean, s)
        why = reasons.retreat(memory, seen.time, ours, other, s) if is_steering else None
        rests = memory.rolling or memory.ledger.until > seen.time
        if not is_steering:
            memory = replace(memory, rolling=False)
            if memory.ledger.until > seen.time:
                return memory, []
        elif rests or memory.ledger.is_lost(s.stake):
            return retreat(memory, seen, demand, current, plain, s, why or "plain RSS as decided before")
        memory, released = aged_out(memory, seen, demand, s, mean)
        actions += released
        done = {action.key for action in released if isinstance(action, Release)}
        current = Steering(current.reta, MappingProxyType({k: c for k, c in current.placed.items() if k not in done}))
        memory, steered = self._steered(memory, seen, demand, current, plain, done)
        if not steered and why is not None:
            return retreat(memory, seen, demand, current, plain, s, why, before=tuple(actions))
        actions += steered
        memory, marked = mark_paths(memory, seen, demand, s)
        memory, new = new_flows(memory, seen, demand, current, s)
        return memory, actions + marked + new

    def _steered(
        self, memory: Memory, seen: Snapshot, demand: Demand, current: Steering, plain: Steering, released: set[bytes]
    ) -> tuple[Memory, list[Action]]:
        """Better places, where they pay."""
        s, cores = self.settings, len(seen.cores)
        mean = demand.total / cores
        blocked = {pending.target for pending in seen.pending} | released
        blocked |= {target for target, look in memory.moved.items() if memory.looks - look < s.dwell}
        blocked |= {target for target, (until, _) in memory.refused.items() if until > seen.time}
        full = [level for level, until in memory.full.items() if until > seen.time]
        chosen = levels_of(seen, demand, least=s.heavy * mean, age=s.age, full=full)
        items = items_of(seen, demand, current, chosen, blocked)
        loads = current.loads(demand, cores)
        memory, undone = undedicated(memory, seen, demand, current, float(mean), s)
        moves = s.in_flight - len(seen.pending)
        if len(memory.history) < s.agree or moves <= 0:
            return memory, undone
        assert memory.since is not None
        limits = Limits(
            memory.budget.tokens, moves, memory.history[-s.agree :], seen.time - memory.since, plain,
        )  # fmt: skip
        open_to = np.array([core.core not in memory.dedicated for core in seen.cores])
        made, flow, dedicate = None, None, None
        if loads.max() > s.enter * mean:
            made = plan(items, demand, s, limits, open_to)
        if made is None and not seen.pending:
            for core, flow in alone(items, demand, s):
                if seen.cores[core].core in memory.dedicated:
                    continue
                open_to[core] = False
                made = drain(items, demand, s, limits, core, open_to)
                open_to[core] = True
                if made is not None:
                    dedicate = reasons.dedicate(seen, demand, core, flow, made)
                    break
        if made is None:
            return memory, undone
        actions = [*undone, *([dedicate] if dedicate else []), *told(made, items, seen, demand, chosen, plain)]
        if dedicate:
            memory = replace(memory, dedicated=_with(memory.dedicated, {dedicate.core: dedicate.keys}))
        updates = sum(change.updates for change in made.changes)
        return replace(
            memory,
            budget=memory.budget.without(updates),
            ledger=memory.ledger.paid(made.price / s.look),
            moved=_with(memory.moved, {change.target: memory.looks for change in made.changes}),
            hit=_with(memory.hit, {c.target: seen.time for c in made.changes if isinstance(c.target, bytes)}),
        ), actions


def looked(memory: Memory, seen: Snapshot, s: Settings) -> tuple[Memory, Demand]:
    """After a snapshot: its demand, new tokens, and what failed."""
    demand = demand_of(seen, memory.history[-1].capacity if memory.history else 0.0)
    refused, full = dict(memory.refused), dict(memory.full)
    for failure in seen.failures:
        times = refused.get(failure.target, (0.0, 0))[1]
        wait = SOON * s.look * 2.0 ** min(times, 10)
        if failure.full:
            full[failure.level] = seen.time + SOON * s.look
        refused[failure.target] = (seen.time + wait, times + 1)
    alive = {flow.key for flow in seen.flows}
    remembered = {t: u for t, u in refused.items() if u[0] + 100 * SOON * s.look > seen.time}
    history = (*memory.history, demand)[-s.window :] if demand.capacity > 0 else memory.history
    return replace(
        memory,
        looks=memory.looks + 1,
        since=seen.time if memory.since is None else memory.since,
        history=history,
        budget=memory.budget.at(seen.time, s.safe * seen.device.updates, 2 * seen.device.rules_a_flow),
        moved={t: look for t, look in memory.moved.items() if memory.looks - look < s.dwell},
        refused=remembered,
        full={level: until for level, until in full.items() if until > seen.time},
        hit={
            flow.key: seen.time if flow.hits else memory.hit.get(flow.key, seen.time)
            for flow in seen.flows
            if flow.rule is not None
        },
        paths={key: path for key, path in memory.paths.items() if key in alive},
    ), demand


def judged(memory: Memory, time: float, ours: float, plain: float, gain: float, s: Settings) -> Memory:
    """After a look at which something was steered."""
    useless = memory.useless_since if memory.useless_since is not None else time
    return replace(
        memory,
        ledger=memory.ledger.after(plain, ours, s.stake),
        worse=memory.worse + 1 if plain < ours - gain else 0,
        useless_since=useless if plain <= ours + gain else None,
    )


def aged_out(memory: Memory, seen: Snapshot, demand: Demand, s: Settings, mean: float) -> tuple[Memory, list[Action]]:
    """Releases of rules that nothing hits, and, where rules are short, of those whose flows have become slow."""
    actions: list[Action] = []
    pending = {one.target for one in seen.pending}
    short = seen.device.exact_room < SHORT * seen.device.rules_a_flow
    for flow in seen.flows:
        if flow.rule is None or flow.key in pending or flow.key in memory.moved:
            continue
        if memory.refused.get(flow.key, (0.0, 0))[0] > seen.time:
            continue
        unused, rate = seen.time - memory.hit.get(flow.key, seen.time), demand.flows[flow.key][1]
        share = rate / demand.capacity / mean if mean > 0 else 0.0
        if unused >= s.idle:
            why = f"no packet has hit its {flow.rule} rule for {unused:.3g} s (idle = {s.idle:g})"
        elif short and share < s.heavy / 2:
            why = (
                f"{rate:,.0f} packets/s are {share:.2%} of a core's mean load, less than half of heavy = {s.heavy:g}, "
                f"and there is room for {seen.device.exact_room} more rules"
            )
        else:
            continue
        if memory.budget.tokens < seen.device.rules_a_flow or len(actions) >= s.in_flight - len(pending):
            break
        memory = replace(memory, budget=memory.budget.without(seen.device.rules_a_flow))
        actions.append(Release(flow.key, why))
    return memory, actions


def alone(items: Items, demand: Demand, s: Settings) -> list[tuple[int, bytes]]:
    """Cores with a flow that should have one alone, and that flow, largest first."""
    buckets = len(items.current.reta)
    found = [
        (float(items.weights[buckets + k]), int(items.at[buckets + k]), key)
        for k, key in enumerate(items.keys)
        if items.weights[buckets + k] >= s.dedicate * demand.capacity
    ]
    return [(core, key) for _, core, key in sorted(found, reverse=True)]


def undedicated(
    memory: Memory, seen: Snapshot, demand: Demand, current: Steering, mean: float, s: Settings
) -> tuple[Memory, list[Action]]:
    """Cores that have nothing left to be dedicated to, or too little to do while others have too much."""
    place = {core.core: k for k, core in enumerate(seen.cores)}
    loads = current.loads(demand, len(seen.cores))
    actions: list[Action] = []
    for core, keys in memory.dedicated.items():
        load = float(loads[place[core]]) if core in place else 0.0
        there = [key for key in keys if current.placed.get(key, _home(seen, current, key)) == place.get(core)]
        idle = load < 0.95 * mean and loads.max() > s.enter * mean
        slow = load < s.dedicate / 2 * demand.capacity
        if not there or idle or slow:
            actions.append(Undedicate(core, reasons.undedicate(load, mean, demand, there, idle)))
    gone = {action.core for action in actions if isinstance(action, Undedicate)}
    return replace(memory, dedicated={c: k for c, k in memory.dedicated.items() if c not in gone}), actions


def _home(seen: Snapshot, current: Steering, key: bytes) -> int | None:
    return next((current.reta[flow.bucket] for flow in seen.flows if flow.key == key), None)


def told(
    made: Plan, items: Items, seen: Snapshot, demand: Demand, chosen: Mapping[bytes, Chosen], plain: Steering
) -> list[Action]:
    """The changes of a plan as actions."""
    about = reasons.About(made, items, seen, demand, plain)
    return [_action(change, about, seen, chosen) for change in made.changes]


def _action(change: Change, about: reasons.About, seen: Snapshot, chosen: Mapping[bytes, Chosen]) -> Action:
    assert change.core is not None
    core = seen.cores[change.core].core
    if isinstance(change.target, int):
        return MoveBucket(change.target, core, about.bucket(change.target, change.core, chosen))
    flow = next(flow for flow in seen.flows if flow.key == change.target)
    level = chosen[flow.key].level if flow.key in chosen else flow.rule
    assert level is not None and level != "reta"
    rule_key = flow.coarse.key if level == "wildcard" and flow.coarse is not None else None
    why = chosen[flow.key].why if flow.key in chosen else "as before"
    return Place(flow.key, core, level, about.flow(flow, change.core, why), rule_key)


def _with(mapping: Mapping[K, V], more: Mapping[K, V]) -> Mapping[K, V]:
    return MappingProxyType({**mapping, **more})
