"""Which flows are marked for the fast path or bypass cores."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from burstline.steering.control.actions import Action, Path
from burstline.steering.control.demand import Demand
from burstline.steering.control.memory import Memory
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot


def mark_paths(memory: Memory, seen: Snapshot, demand: Demand, s: Settings) -> tuple[Memory, list[Action]]:
    """Flows from `fast` packets/s on are marked, and are no more below half of it."""
    if not s.fast:
        return memory, []
    actions: list[Action] = []
    path: Literal["fast", "bypass"] = "bypass" if s.bypass else "fast"
    paths = dict(memory.paths)
    updates = seen.device.rules_a_flow
    refused = {target for target, (until, _) in memory.refused.items() if until > seen.time}
    for flow in sorted(seen.flows, key=lambda flow: (-demand.flows[flow.key][1], flow.key)):
        rate, marked = demand.flows[flow.key][1], flow.key in paths
        if paths.get(flow.key) == "bypass":  # no core sees it any more; its rule counts
            rate = max(rate, flow.hits / s.look)
        begins = rate >= s.fast and flow.age >= s.age and not marked
        ends = marked and rate < s.fast / 2
        if not (begins or ends) or flow.key in refused or memory.budget.tokens < updates:
            continue
        memory = replace(memory, budget=memory.budget.without(updates))
        if begins:
            paths[flow.key] = path
            why = f"{rate:,.0f} packets/s, at least fast = {s.fast:,.0f}, for {flow.age:.3g} s"
            actions.append(Path(flow.key, path, why))
        else:
            del paths[flow.key]
            actions.append(Path(flow.key, "normal", f"{rate:,.0f} packets/s, less than half of fast = {s.fast:,.0f}"))
    return replace(memory, paths=paths), actions
