"""What the controller does at every look, whatever it steers: counts, forgets, judges, and lets unused rules go."""

from __future__ import annotations

from dataclasses import replace

from burstline.steering.control import reasons
from burstline.steering.control.actions import Action, Release, Undedicate
from burstline.steering.control.demand import Demand, Steering, demand_of
from burstline.steering.control.memory import Memory
from burstline.steering.control.plan import is_underused
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot

SOON = 10  # looks for which something that failed is left alone, doubled each time
SHORT = 8  # flows: with room for fewer, rules of slow ones go
CALMS = 0.98  # of the noise that was known, at each look


def looked(memory: Memory, seen: Snapshot, s: Settings) -> tuple[Memory, Demand]:
    """After a snapshot: its demand, new tokens, and what failed."""
    demand = demand_of(seen, memory.capacity)
    refused, full = dict(memory.refused), dict(memory.full)
    for failure in seen.failures:
        times = refused.get(failure.target, (0.0, 0))[1]
        wait = SOON * s.look * 2.0 ** min(times, 10)
        if failure.full:
            full[failure.level] = seen.time + SOON * s.look
        refused[failure.target] = (seen.time + wait, times + 1)
    alive = {flow.key for flow in seen.flows}
    return replace(
        memory,
        looks=memory.looks + 1,
        since=seen.time if memory.since is None else memory.since,
        capacity=demand.capacity,
        noise=CALMS * memory.noise,
        budget=memory.budget.at(seen.time, s.safe * seen.device.updates, 2 * seen.device.rules_a_flow),
        moved={t: look for t, look in memory.moved.items() if memory.looks - look < s.dwell},
        refused={t: kept for t, kept in refused.items() if kept[0] + 100 * SOON * s.look > seen.time},
        full={level: until for level, until in full.items() if until > seen.time},
        hit={
            flow.key: seen.time if flow.hits else memory.hit.get(flow.key, seen.time)
            for flow in seen.flows
            if flow.rule is not None
        },
        paths={key: path for key, path in memory.paths.items() if key in alive},
    ), demand


def judged(memory: Memory, time: float, ours: float, plain: float, gain: float, s: Settings) -> Memory:
    """After a look at which something was steered; costs in cores."""
    useless = memory.useless_since if memory.useless_since is not None else time
    return replace(
        memory,
        ledger=memory.ledger.after(plain, ours, s.stake),
        worse=memory.worse + 1 if plain < ours - gain else 0,
        useless_since=useless if plain <= ours + gain else None,
    )


def aged_out(memory: Memory, seen: Snapshot, demand: Demand, s: Settings) -> tuple[Memory, list[Action]]:
    """Releases of rules that nothing hits, and, where rules are short, of those whose flows have become slow."""
    actions: list[Action] = []
    pending = {one.target for one in seen.pending}
    mean = demand.total / len(seen.cores)
    short = seen.device.exact_room < SHORT * seen.device.rules_a_flow
    for flow in seen.flows:
        if flow.rule is None or flow.key in pending or flow.key in memory.moved:
            continue
        if memory.refused.get(flow.key, (0.0, 0))[0] > seen.time:
            continue
        unused, rate = seen.time - memory.hit.get(flow.key, seen.time), demand.flows[flow.key][1]
        if unused >= s.unused:
            why = f"no packet has hit its {flow.rule} rule for {unused:.3g} s (unused = {s.unused:g})"
        elif short and rate < s.heavy / 2 * mean:
            why = (
                f"{rate:,.0f} packets/s are {rate / mean:.2%} of a core's mean load, less than half of heavy = "
                f"{s.heavy:g}, and there is room for {seen.device.exact_room} more rules"
            )
        else:
            continue
        if memory.budget.tokens < seen.device.rules_a_flow or len(actions) >= s.in_flight - len(pending):
            break
        memory = replace(memory, budget=memory.budget.without(seen.device.rules_a_flow))
        actions.append(Release(flow.key, why))
    return memory, actions


def undedicated(
    memory: Memory, seen: Snapshot, demand: Demand, current: Steering, s: Settings
) -> tuple[Memory, list[Action]]:
    """Cores that have nothing left to be dedicated to, or too little to do while others have too much."""
    if not memory.dedicated:
        return memory, []
    place = {core.core: k for k, core in enumerate(seen.cores)}
    loads, mean = current.loads(demand, len(seen.cores)), demand.total / len(seen.cores)
    homes = {flow.key: current.reta[flow.bucket] for flow in seen.flows}
    actions: list[Action] = []
    for core, keys in memory.dedicated.items():
        load = float(loads[place[core]])
        there = any(current.placed.get(key, homes.get(key)) == place[core] for key in keys)
        idle = is_underused(loads, place[core], s, is_dedicated=True)
        if not there or idle or load < s.dedicate / 2 * demand.capacity:
            actions.append(Undedicate(core, reasons.undedicate(load, mean, demand, there, idle)))
    gone = {action.core for action in actions if isinstance(action, Undedicate)}
    return replace(memory, dedicated={c: k for c, k in memory.dedicated.items() if c not in gone}), actions
