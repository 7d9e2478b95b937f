"""What the balancer remembers from one look to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from burstline.numa.balance.estimate import Estimate
from burstline.numa.balance.seen import Floats, Ints, Seen
from burstline.numa.balance.settings import BalanceSettings

SMOOTH = 0.2  # weight of the newest look in what a worker's packet costs
SAVED = 0.25  # seconds of moves that may be saved up
BUSY = 1e-4  # of a core: less tells nothing of what a packet costs


@dataclass(frozen=True)
class Parking:
    """`leaving` is the worker that is being emptied; `idle_since` is when one was first not needed, `flips` how often
    one had to be woken since the load, which was `total` then, changed; `since` is when any of it last did."""

    leaving: int | None = None
    idle_since: float | None = None
    flips: int = 0
    total: float = 0.0
    since: float = 0.0


@dataclass(frozen=True)
class Memory:
    """`ns` of a packet by worker, 0 where none was seen; `stays` is the time until which each group stays where it is,
    `again` how often it moved since its traffic changed; `tokens` are moves that may be made now."""

    time: float = 0.0
    looks: int = 0
    estimate: Estimate | None = None
    ns: Floats | None = None
    depths: Floats | None = None
    stays: Floats | None = None
    again: Ints | None = None
    tokens: float = 0.0
    parking: Parking = Parking()


def looked(memory: Memory, seen: Seen, settings: BalanceSettings) -> tuple[Memory, float]:
    """With another look taken in, and the seconds since the one before; 0 at the first."""
    ns = np.array([worker.ns if worker.busy > BUSY else 0.0 for worker in seen.workers])
    depths = np.array([worker.depth for worker in seen.workers])
    if memory.estimate is None or memory.ns is None or memory.depths is None or memory.again is None:
        return Memory(
            seen.time, 1, Estimate.first(seen.packets, seen.time), ns, depths, np.full(seen.groups, -np.inf),
            np.zeros(seen.groups, dtype=np.int64), settings.moves * SAVED,
        ), 0.0  # fmt: skip
    step = seen.time - memory.time
    if step <= 0:
        return memory, 0.0
    offered = seen.packets * _grown(seen, (depths - memory.depths) / step)[seen.at]
    estimate = memory.estimate.seen(offered, step, seen.time, seen.moving)
    again = np.where(estimate.since > memory.estimate.since, 0, memory.again)
    known = np.where(memory.ns == 0, ns, memory.ns + SMOOTH * np.where(ns > 0, ns - memory.ns, 0.0))
    rate = min(settings.moves, seen.updates)
    tokens = min(max(rate * SAVED, 1.0), memory.tokens + rate * step)
    return replace(
        memory, time=seen.time, looks=memory.looks + 1, estimate=estimate, ns=known, depths=depths, again=again,
        tokens=tokens,
    ), step  # fmt: skip


def _grown(seen: Seen, deeper: Floats) -> Floats:
    """How many times what a worker handled came for it: its queue grew, or had no room."""
    packets = np.array([worker.packets for worker in seen.workers])
    more = np.array([worker.dropped for worker in seen.workers]) + deeper
    found: Floats = np.where(packets > 0, 1 + np.maximum(more, -0.9 * packets) / np.maximum(packets, 1e-9), 1.0)
    return found
