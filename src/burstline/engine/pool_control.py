"""What is done about a run's pools while it goes on, by what is seen of them at each tick."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from burstline.buffers.controller import Controller, Seen, Settings, controller, reserves
from burstline.buffers.forecast import DampedTrend
from burstline.buffers.mbuf_pool import MbufPool
from burstline.buffers.usage import ClassUsage, Demand

HORIZON = 3  # ticks: the memory of a large growth is there after some tens of milliseconds
MOST_MISSED = 16  # ticks that a policy is told of at once when it was not asked for long


@dataclass
class _Core:
    """What a core had taken by the last tick, how much it takes in a tick, and the magazines put into its reserve."""

    taken: int = 0
    demand: DampedTrend = field(default_factory=DampedTrend)
    reserved: int = 0


@dataclass
class _Pool:
    """A pool, the policy for it, and what is known of its cores."""

    pool: MbufPool
    policy: Controller
    cores: dict[int, _Core] = field(default_factory=dict)
    busy: bool = False


class PoolControl:
    """Before each tick of `period` seconds every core gets into its reserve what it is expected to take until the next,
    as far as the depot has it; pools that may grow do so ahead of their load, and shrink after it."""

    def __init__(self, pools: Sequence[MbufPool], period: float) -> None:
        self._period, self._last = period, 0.0
        self._pools = [_Pool(pool, controller(_settings(pool))) for pool in pools]

    def act(self, usage: Sequence[ClassUsage], now: float) -> list[Demand]:
        """Returns what is expected of each class, nothing of those of which nobody ever took a buffer. Raises
        BurstlineError where there is no memory to grow."""
        ticks = min(MOST_MISSED, max(1, round((now - self._last) / self._period))) if self._last else 1
        self._last = now
        return [self._of(each, seen, ticks) for each, seen in zip(self._pools, usage, strict=True)]

    def _of(self, each: _Pool, usage: ClassUsage, ticks: int) -> Demand:
        each.busy = each.busy or usage.taken > 0 or usage.failed > 0
        if not each.busy:
            return Demand()
        pool = each.pool
        seen = Seen(usage.in_use, usage.in_use, pool.magazines.stranded, pool.size_class.usable, usage.failed)
        change = 0
        for _ in range(ticks):
            change, each.policy = each.policy.decide(seen)
        if change > 0 and usage.populated < usage.most:
            pool.grow(change)
        elif change < 0:
            pool.shrink(-change)
        elif usage.parked:
            pool.tidy()
        return Demand(each.policy.expected, _top_up(each, usage, ticks))


def _settings(pool: MbufPool) -> Settings:
    return Settings(pool.count, pool.size_class.most, HORIZON, rounds=pool.magazines.rounds)


def _top_up(each: _Pool, usage: ClassUsage, ticks: int) -> dict[int, tuple[int, int]]:
    """Fill the reserves. Returns by core what it took in the last tick, and what was forecast of that."""
    magazines, found = each.pool.magazines, dict[int, tuple[int, int]]()
    cores = [each.cores.setdefault(seen.core, _Core()) for seen in usage.cores]
    for seen, core in zip(usage.cores, cores, strict=True):
        took = max(0, seen.taken - core.taken) // ticks
        found[seen.core] = took, round(core.demand.ahead(1)) if core.demand.ticks else -1
        core.taken, core.demand = seen.taken, core.demand.observe(took)
    expected = [math.ceil(core.demand.ahead(1)) for core in cores]
    held = [
        core.reserved - magazines.count(seen.core).from_reserve for seen, core in zip(usage.cores, cores, strict=True)
    ]
    for seen, core, n in zip(usage.cores, cores, reserves(expected, held, usage.depot, magazines.rounds), strict=True):
        if n:
            core.reserved += magazines.top_up(seen.core, n)
    return found
