"""What is done about a run's pools while it goes on, by what is seen of them at each tick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from burstline.buffers.controller import Controller, Seen, Settings, controller, reserves
from burstline.buffers.magazines import Magazines
from burstline.buffers.mbuf_pool import MbufPool
from burstline.buffers.usage import ClassUsage

HORIZON = 3  # ticks: the memory of a large growth is there after some tens of milliseconds
MOST_MISSED = 16  # ticks that a policy is told of at once when it was not asked for long


@dataclass
class _Pool:
    """A pool, the policy for it, and what its cores had taken, and got into their reserves, by the last tick."""

    pool: MbufPool
    policy: Controller
    taken: dict[int, int] = field(default_factory=dict)
    reserved: dict[int, int] = field(default_factory=dict)
    busy: bool = False


class PoolControl:
    """Before each tick of `period` seconds every core gets into its reserve what it can need until the next, as far as
    the depot has it; pools that may grow do so ahead of their load, and shrink after it."""

    def __init__(self, pools: Sequence[MbufPool], period: float) -> None:
        self._period, self._last = period, 0.0
        self._pools = [_Pool(pool, controller(Settings(pool.count, pool.size_class.most, HORIZON))) for pool in pools]

    def act(self, usage: Sequence[ClassUsage], now: float) -> list[int]:
        """Returns how many buffers of each class are expected to be in use `HORIZON` ticks from now, -1 of those that
        nobody ever took. Raises BurstlineError where there is no memory to grow."""
        ticks = min(MOST_MISSED, max(1, round((now - self._last) / self._period))) if self._last else 1
        self._last = now
        return [self._of(each, seen, ticks) for each, seen in zip(self._pools, usage, strict=True)]

    def _of(self, each: _Pool, usage: ClassUsage, ticks: int) -> int:
        each.busy = each.busy or usage.in_use > 0 or usage.failed > 0
        if not each.busy:
            return -1
        pool, magazines = each.pool, each.pool.magazines
        seen = Seen(usage.in_use, usage.in_use, magazines.stranded, pool.size_class.usable, usage.failed)
        change = 0
        for _ in range(ticks):
            change, each.policy = each.policy.decide(seen)
        if change > 0 and usage.populated < usage.most:
            pool.grow(change)
        elif change < 0:
            pool.shrink(-change)
        elif usage.parked:
            pool.tidy()
        _top_up(each, usage, magazines)
        return each.policy.expected


def _top_up(each: _Pool, usage: ClassUsage, magazines: Magazines) -> None:
    cores = [core.core for core in usage.cores]
    taken = [core.taken - each.taken.get(core.core, 0) for core in usage.cores]
    held = [each.reserved.get(core, 0) - magazines.count(core).from_reserve for core in cores]
    for core, n in zip(cores, reserves(taken, held, usage.depot), strict=True):
        if n:
            each.reserved[core] = each.reserved.get(core, 0) + magazines.top_up(core, n)
    each.taken = {core.core: core.taken for core in usage.cores}
