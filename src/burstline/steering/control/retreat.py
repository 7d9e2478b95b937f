"""Back to plain RSS: at once where the budget allows it, else step by step, what helps most first."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from burstline.steering.control.actions import Action, MoveBucket, Release, RollBack, Undedicate
from burstline.steering.control.demand import Demand, Steering, cost
from burstline.steering.control.memory import Memory
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot, Target


def retreat(
    memory: Memory,
    seen: Snapshot,
    demand: Demand,
    current: Steering,
    plain: Steering,
    s: Settings,
    why: str,
    before: tuple[Action, ...] = (),
) -> tuple[Memory, list[Action]]:
    """What is steered goes back. Steering begins again when the ledger's ban is over."""
    pending = {one.target for one in seen.pending}
    pending |= {target for target, (until, _) in memory.refused.items() if until > seen.time}
    rules = [key for key in current.placed if key not in pending]
    buckets = [k for k, (now, home) in enumerate(zip(current.reta, plain.reta, strict=True)) if now != home]
    free = [bucket for bucket in buckets if bucket not in pending]
    updates = len(rules) * seen.device.rules_a_flow + len(free)
    moves = s.in_flight - len(pending) - len(before)
    actions: list[Action] = [*before, *(Undedicate(core, why) for core in memory.dedicated)]
    begins = not memory.rolling and memory.ledger.until <= seen.time
    if begins:
        is_lost = memory.ledger.is_lost(s.stake)
        ledger = (memory.ledger.banned if is_lost else memory.ledger.rests)(seen.time, s.calm)
        memory = replace(memory, ledger=ledger)
    memory = replace(memory, trial=None, made=None, dedicated=MappingProxyType({}), worse=0, useless_since=None)
    waits = bool(memory.refused) or len(rules) < len(current.placed) or len(free) < len(buckets)
    if begins and not waits and updates <= memory.budget.tokens and len(rules) + len(free) <= moves:
        actions.append(RollBack(True, f"{why}; {len(rules)} rules and {len(free)} buckets go back at once"))
        return replace(memory, budget=memory.budget.without(updates)), actions
    if begins:
        allowed = f"the budget allows {memory.budget.tokens:.0f} updates now"
        actions.append(RollBack(False, f"{why}; {len(rules)} rules and {len(free)} buckets go back, {allowed}"))
    left: list[Target] = [*rules, *free]
    while left and moves > 0:
        target, current = _next(left, seen, demand, current, plain)
        price = seen.device.rules_a_flow if isinstance(target, bytes) else 1
        if price > memory.budget.tokens:
            break
        memory = replace(memory, budget=memory.budget.without(price))
        moves -= 1
        left.remove(target)
        if isinstance(target, bytes):
            actions.append(Release(target, f"roll back: {why}"))
        else:
            actions.append(MoveBucket(target, seen.rss[target], f"roll back: {why}"))
    return replace(memory, rolling=True), actions


def _next(
    left: list[Target], seen: Snapshot, demand: Demand, current: Steering, plain: Steering
) -> tuple[Target, Steering]:
    """What helps most to put back first, and the steering after it."""
    found: tuple[float, int, Steering] | None = None
    for k, target in enumerate(left):
        after = _without(current, plain, target)
        bad = cost(after.loads(demand, len(seen.cores)), demand.capacity)
        if found is None or bad < found[0]:
            found = (bad, k, after)
    assert found is not None
    return left[found[1]], found[2]


def _without(current: Steering, plain: Steering, target: Target) -> Steering:
    if isinstance(target, bytes):
        return Steering(current.reta, {key: core for key, core in current.placed.items() if key != target})
    reta = list(current.reta)
    reta[target] = plain.reta[target]
    return Steering(tuple(reta), current.placed)
