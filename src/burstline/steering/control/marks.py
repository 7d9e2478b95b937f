"""Which flows are marked for the fast path or bypass cores, and where connections that begin should go."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from burstline.steering.control.actions import Action, NewFlows, Path
from burstline.steering.control.demand import Demand, Steering
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


def new_flows(
    memory: Memory, seen: Snapshot, demand: Demand, current: Steering, s: Settings
) -> tuple[Memory, list[Action]]:
    """The emptiest core that is not dedicated, where the one told before has clearly more to do."""
    if not s.new_connections:
        return memory, []
    loads = current.loads(demand, len(seen.cores))
    shared = np.array([core.core not in memory.dedicated for core in seen.cores])
    if not shared.any():
        return memory, []
    to = int(np.where(shared, loads, np.inf).argmin())
    before = next((k for k, core in enumerate(seen.cores) if core.core == memory.new_core), None)
    mean = demand.total / len(seen.cores)
    if before is not None and shared[before] and loads[before] - loads[to] <= (s.enter - 1) * mean:
        return memory, []
    core = seen.cores[to].core
    was = "" if before is None else f", core {memory.new_core} {loads[before] / mean:.2f}"
    why = f"core {core} has {loads[to] / mean:.2f} of the mean load{was}"
    return replace(memory, new_core=core), [NewFlows(core, why)]
