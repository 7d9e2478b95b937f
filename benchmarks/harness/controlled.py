"""A size class that a controller looks after."""

from __future__ import annotations

from benchmarks.harness.loads import TICK
from burstline.buffers.controller import Controller, Seen, Settings, controller
from burstline.buffers.size_class import SizeClass

HORIZON = round(0.02 / TICK)  # populating the memory of a ramp takes some milliseconds


class Controlled:
    """The class and the policy for it, which begins with the buffers of the start and may go up to `most`."""

    def __init__(self, made: SizeClass, start: int, most: int) -> None:
        self.made = made
        self.policy: Controller = controller(Settings(start, most, HORIZON))

    def look(self, ticks: int = 1) -> None:
        """Do what the policy says, which is told of this look for each of the ticks since the last one."""
        magazines = self.made.magazines
        failed = magazines.count(0).failed
        seen = Seen(self.made.in_use, self.made.in_use, magazines.stranded, self.made.usable, failed)
        change = 0
        for _ in range(ticks):
            change, self.policy = self.policy.decide(seen)
        if change > 0:
            self.made.grow(change)
        elif change < 0:
            self.made.shrink(-change)
        else:
            self.made.tidy()
