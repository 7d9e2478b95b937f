"""The steering controller: a pure policy, from what it remembers and a snapshot to what it remembers and actions.

It looks at heavy flows and buckets, and changes something when that would have paid at several looks after it was
thought of; it computes from each snapshot what plain RSS would do with the same packets, and goes back to it when that
would do as well or better. Plain RSS often does: balancing flow by flow loses where flows are many and moves are not
free.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType

from burstline.steering.control import reasons
from burstline.steering.control.actions import Action, Release
from burstline.steering.control.demand import Steering, cost, plain_of, steering_of
from burstline.steering.control.marks import mark_paths
from burstline.steering.control.memory import Memory
from burstline.steering.control.new_connections import is_plain, place_new
from burstline.steering.control.propose import View, emptied, propose
from burstline.steering.control.retreat import retreat
from burstline.steering.control.settings import Settings
from burstline.steering.control.snapshot import Snapshot
from burstline.steering.control.trial import WATCHED, Made, surprised
from burstline.steering.control.upkeep import aged_out, judged, looked, undedicated

MORE = 2.0  # times what is on trial: another change is tried instead


@dataclass(frozen=True)
class Controller:
    """`memory, actions = controller.decide(memory, snapshot)`, beginning with `controller.start()`."""

    settings: Settings = field(default_factory=Settings)
    name: str = "per-flow"

    def start(self) -> Memory:
        return Memory()

    def decide(self, memory: Memory, seen: Snapshot) -> tuple[Memory, list[Action]]:
        """What to do now: nothing as long as no core had anything to do."""
        s, cores = self.settings, len(seen.cores)
        memory, demand = looked(memory, seen, s)
        current, plain = steering_of(seen), plain_of(seen)
        if demand.capacity <= 0 or demand.total <= 0:
            return memory, []
        if is_plain(current, plain, demand, memory, s):
            memory = replace(memory, rolling=False, worse=0, useless_since=None)
            if memory.ledger.until > seen.time:
                return memory, []
            why = None
        else:
            ours, other = (cost(one.loads(demand, cores), demand.capacity) for one in (current, plain))
            memory = judged(memory, seen.time, ours, other, s.gain * demand.total / cores / demand.capacity, s)
            why = reasons.retreat(memory, seen.time, ours, other, s)
            if memory.rolling or memory.ledger.until > seen.time or memory.ledger.is_lost(s.stake):
                return retreat(memory, seen, demand, current, plain, s, why or "plain RSS, as decided before")
        memory, actions = aged_out(memory, seen, demand, s)
        released = {action.key for action in actions if isinstance(action, Release)}
        current = Steering(current.reta, {key: c for key, c in current.placed.items() if key not in released})
        memory, undone = undedicated(memory, seen, demand, current, s)
        actions += undone
        view = View.of(seen, demand, current, plain, memory, s, released)
        memory, steered = self._steered(memory, view)
        hopes = memory.trial is not None and memory.ledger.balance > 0  # of a change that is being tried
        if why is not None and not steered and not hopes:
            return retreat(memory, seen, demand, current, plain, s, why, before=tuple(actions))
        memory, alone = emptied(view, memory)
        memory, marked = mark_paths(memory, seen, demand, s)
        actions += [*steered, *alone, *marked]
        memory, new = place_new(memory, seen, demand, current, s, actions)
        return memory, [*actions, *new]

    def _steered(self, memory: Memory, view: View) -> tuple[Memory, list[Action]]:
        """The change that was on trial, if it has proved itself; otherwise another is put on trial."""
        s, trial, made = self.settings, memory.trial, memory.made
        if made is not None and not view.seen.pending:
            gained = made.gain(view.demand, view.items.current, view.cores)
            left = replace(made, left=made.left - 1, expected=gained) if made.left > 1 else None
            memory = replace(memory, made=left, noise=surprised(memory.noise, gained, made.expected))
        if trial is not None:
            trial = trial.seen(view.demand, view.items.current, view.limits.plain, view.cores)
            memory = replace(memory, trial=trial, noise=surprised(memory.noise, *trial.latest))
            least = s.gain * view.mean / view.demand.capacity
            agree = 1 if memory.ledger.is_rich(s.stake) else s.agree
            verdict = trial.verdict(memory.noise, least, agree, s.window)
            if verdict == "wait":
                other = propose(view, memory)
                better = other is not None and not trial.dedicates and other.expected > MORE * trial.gains[-1] + least
                return replace(memory, trial=other if better else trial), []
            memory = replace(memory, trial=None)
            plan = view.now(trial, memory.ledger) if verdict == "make" else None
            if plan is not None:
                dedicate = None
                if trial.dedicates is not None:
                    dedicate = reasons.dedicate(view.seen, view.demand, *trial.dedicates, len(plan.changes))
                    memory = replace(memory, dedicated={**memory.dedicated, dedicate.core: dedicate.keys})
                changed = {change.target: memory.looks for change in plan.changes}
                memory = replace(
                    memory,
                    budget=memory.budget.without(sum(change.updates for change in plan.changes)),
                    ledger=memory.ledger.paid(plan.price / s.look / view.cores),
                    made=Made(view.items.current, plan.gain, WATCHED),
                    moved=MappingProxyType({**memory.moved, **changed}),
                )
                return memory, [*([dedicate] if dedicate else []), *view.told(plan, trial)]
        return replace(memory, trial=propose(view, memory)), []
