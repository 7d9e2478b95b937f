"""The balancer: a pure policy, from what it remembers and a snapshot to what it remembers and actions.

It knows what each group of flows brings, and what it costs at each worker; a group moves when fewer packets wait then,
by more than the move makes wait, and by more than chance explains. Near workers come first. Where nothing changes it
comes to rest: each move lowers the cost by more than its price, and that doubles with each move of the same group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from burstline.numa.balance.actions import Action, MoveGroup
from burstline.numa.balance.memory import Memory, looked
from burstline.numa.balance.parking import park_or_wake
from burstline.numa.balance.places import Places
from burstline.numa.balance.propose import moves
from burstline.numa.balance.seen import Seen
from burstline.numa.balance.settings import BalanceSettings
from burstline.numa.balance.view import View

LOOKS = 2  # before anything moves


@dataclass(frozen=True)
class Balancer:
    """`memory, actions = balancer.decide(memory, seen)`, beginning with `balancer.start()`."""

    places: Places
    settings: BalanceSettings = field(default_factory=BalanceSettings)
    name: str = "balancer"

    def start(self) -> Memory:
        return Memory()

    def decide(self, memory: Memory, seen: Seen) -> tuple[Memory, list[Action]]:
        """What to do now; nothing at the first looks, and as long as nothing comes."""
        memory, step = looked(memory, seen, self.settings)
        if step <= 0 or memory.looks <= LOOKS:
            return memory, []
        view = View.of(seen, self.places, self.settings, memory, step)
        if view.loads.sum() <= 0:
            return memory, []
        parking, actions = park_or_wake(view, memory.parking)
        actions += moves(view)
        return self._moved(replace(memory, parking=parking), seen, actions), actions

    def _moved(self, memory: Memory, seen: Seen, actions: Sequence[Action]) -> Memory:
        groups = np.array([action.group for action in actions if isinstance(action, MoveGroup)], dtype=np.int64)
        if not len(groups):
            return memory
        assert memory.stays is not None and memory.again is not None
        stays, again = memory.stays.copy(), memory.again.copy()
        stays[groups] = seen.time + self.settings.dwell * 2.0 ** np.minimum(again[groups], 60)
        again[groups] += 1
        return replace(memory, stays=stays, again=again, tokens=max(0.0, memory.tokens - len(groups)))
