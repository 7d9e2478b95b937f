"""What could be changed now, and how a change that was on trial is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from burstline.steering.control import reasons
from burstline.steering.control.actions import Action, MoveBucket, Place
from burstline.steering.control.degradation import Chosen, levels_of
from burstline.steering.control.demand import Demand, Steering
from burstline.steering.control.items import Change, Items, items_of
from burstline.steering.control.ledger import Ledger
from burstline.steering.control.memory import Memory
from burstline.steering.control.plan import Limits, Plan, drain, is_underused, made_of, net_gain, plan
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot
from burstline.steering.control.trial import Trial


@dataclass(frozen=True)
class View:
    """A snapshot as a placement sees it."""

    seen: Snapshot
    demand: Demand
    items: Items
    chosen: Mapping[bytes, Chosen]
    limits: Limits
    settings: Settings

    @classmethod
    def of(
        cls,
        seen: Snapshot,
        demand: Demand,
        current: Steering,
        plain: Steering,
        memory: Memory,
        s: Settings,
        released: set[bytes],
    ) -> View:
        """What is on its way, moved not long ago, was refused, or is `released` by this look, stays."""
        blocked = {one.target for one in seen.pending} | released
        blocked |= {target for target, look in memory.moved.items() if memory.looks - look < s.dwell}
        blocked |= {target for target, (until, _) in memory.refused.items() if until > seen.time}
        full = [level for level, until in memory.full.items() if until > seen.time]
        least = s.heavy * demand.total / len(seen.cores)
        chosen = levels_of(seen, demand, least=least, age=s.age, full=full)
        since = seen.time if memory.since is None else memory.since
        room = s.in_flight - len(seen.pending) - len(released)
        limits = Limits(memory.budget.tokens, room, seen.time - since, plain)
        return cls(seen, demand, items_of(seen, demand, current, chosen, blocked), chosen, limits, s)

    @property
    def cores(self) -> int:
        return len(self.seen.cores)

    @property
    def mean(self) -> float:
        """Packets/s."""
        return self.demand.total / self.cores

    def now(self, trial: Trial, ledger: Ledger) -> Plan | None:
        """The plan of a trial by what is there now; None where the budget does not allow it any more, it does not pay,
        takes more of the stake than there is, or was for a flow that is no longer large."""
        if trial.dedicates is not None:
            rate = self.demand.flows.get(trial.dedicates[1], (0, 0.0))[1]
            if rate < self.settings.dedicate * self.demand.capacity:
                return None
        at, buckets = self.items.at.copy(), len(self.items.current.reta)
        place = {key: buckets + k for k, key in enumerate(self.items.keys)}
        for change in trial.changes:
            item = change.target if isinstance(change.target, int) else place.get(change.target)
            if item is not None and self.items.movable[item]:
                at[item] = change.core
        of = {flow.key: flow.bucket for flow in self.seen.flows}
        tried = {change.target for change in trial.changes}
        for key, item in place.items():  # a flow that was not worth a rule yet goes with its bucket, as on trial
            if key not in tried and key not in self.items.current.placed:
                at[item] = at[of[key]]
        made = made_of(self.items, self.demand, self.settings, self.limits, at)
        s = self.settings
        pays = trial.dedicates is not None or net_gain(made) > 0
        pays = pays and made.price / s.look / self.cores <= s.stake + ledger.balance
        return made if made.changes and self.limits.allow(made.changes) and pays else None

    def told(self, made: Plan, trial: Trial) -> list[Action]:
        """The changes of a plan as actions."""
        about = reasons.About(made, self.items, self.seen, self.demand, self.limits.plain, len(trial.gains))
        return [self._action(change, about) for change in made.changes]

    def _action(self, change: Change, about: reasons.About) -> Action:
        assert change.core is not None
        core = self.seen.cores[change.core].core
        if isinstance(change.target, int):
            return MoveBucket(change.target, core, about.bucket(change.target, change.core, self.chosen))
        flow = next(flow for flow in self.seen.flows if flow.key == change.target)
        level, why = self.chosen[flow.key]
        assert level is not None and level != "reta"
        rule_key = flow.coarse.key if level == "wildcard" and flow.coarse is not None else None
        return Place(flow.key, core, level, about.flow(flow, change.core, why), rule_key)


def propose(view: View, memory: Memory) -> Trial | None:
    """What would pay by this look: better places where cores are uneven, else a core for a flow that takes most of
    one."""
    s, demand = view.settings, view.demand
    loads = view.items.current.loads(demand, view.cores)
    open_to = np.array([core.core not in memory.dedicated for core in view.seen.cores])
    if view.limits.moves <= 0:
        return None
    if loads.max() > s.enter * view.mean:
        made = plan(view.items, demand, s, view.limits, open_to)
        if made is not None:
            return Trial(made.changes, made.gain)
    if view.seen.pending:
        return None
    for core, key in large(view):
        if open_to[core]:
            open_to[core] = False
            made = drain(view.items, demand, s, view.limits, core, open_to)
            if made is not None:
                return Trial(made.changes, made.gain, (core, key))
            open_to[core] = True
    return None


def emptied(view: View, memory: Memory) -> tuple[Memory, list[Action]]:
    """Cores that a large flow has alone as things are, and which buckets should not come back to."""
    actions: list[Action] = []
    loads = view.items.current.loads(view.demand, view.cores)
    for core, key in large(view):
        number = view.seen.cores[core].core
        free = core not in view.items.current.reta and number not in memory.dedicated
        if free and not is_underused(loads, core, view.settings):
            action = reasons.dedicate(view.seen, view.demand, core, key, 0)
            memory = replace(memory, dedicated={**memory.dedicated, number: action.keys})
            actions.append(action)
    return memory, actions


def large(view: View) -> list[tuple[int, bytes]]:
    """Flows that should have a core alone, largest first, and the cores where they are."""
    items, buckets = view.items, len(view.items.current.reta)
    rates = items.weights[items.flows]
    found = [k for k in np.argsort(-rates, kind="stable") if rates[k] >= view.settings.dedicate * view.demand.capacity]
    return [(int(items.at[buckets + k]), items.keys[k]) for k in found]
