"""What the balancer sees of live ports: counts that only grow, read at each look, become the rates of a snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.numa.balance.seen import Seen, Worker
from burstline.steering.control.sight import FULL

RECORDS = 30.0  # of a bucket, until a move tells how many there are
NEWEST = 0.3  # weight of the last move in that


@dataclass(frozen=True)
class Counts:
    """One look, at `time` in seconds. By worker, since the start: packets, seconds in which it was busy, polls, polls
    that found packets, and packets by bucket, int64 (workers, buckets). `missed` is what queues had no room for, in
    all; `batch` is what each worker asks for at once."""

    time: float
    packets: Sequence[int]
    busy: Sequence[float]
    polls: Sequence[int]
    useful: Sequence[int]
    missed: int
    by_bucket: Any
    batch: Sequence[int]


class BalanceSight:
    """Of one run; `records` is how many a bucket has, by the moves until now."""

    def __init__(self) -> None:
        self.records = RECORDS
        self._before: Counts | None = None

    def moved(self, buckets: int, records: int) -> None:
        """So many buckets were moved, and so many records with them."""
        if buckets:
            self.records += NEWEST * (records / buckets - self.records)

    def see(self, now: Counts, reta: Sequence[int], parked: Sequence[bool], updates: float) -> Seen | None:
        """None at the first look: rates are since the one before. A bucket's packets are those at the worker that has
        it; what rules send elsewhere is that worker's load, and stays there."""
        before, self._before = self._before, now
        if before is None or now.time <= before.time:
            return None
        step = now.time - before.time
        packets = np.subtract(now.packets, before.packets) / step
        busy = np.clip(np.subtract(now.busy, before.busy) / step, 0.0, 1.0)
        polls, useful = np.subtract(now.polls, before.polls), np.subtract(now.useful, before.useful)
        at = np.array(reta, dtype=np.int64)
        came = ((now.by_bucket - before.by_bucket) / step)[at, np.arange(len(at))]
        dropped = _shared((now.missed - before.missed) / step, packets, busy)
        workers = []
        for k, gone in enumerate(parked):
            fill = float(packets[k] * step / useful[k]) if useful[k] > 0 else 1.0
            # Devices do not tell how many packets wait: where polls are full, at least another one's worth does.
            waits = fill if fill >= FULL * now.batch[k] else 0.0
            share = float(useful[k] / polls[k]) if polls[k] > 0 else 0.0
            workers.append(
                Worker(float(busy[k]), float(packets[k]), share, waits, float(dropped[k]), gone, max(1.0, fill))
            )
        return Seen(
            now.time, tuple(workers), at, came.astype(float), np.full(len(at), self.records),
            np.zeros(len(at), dtype=bool), updates,
        )  # fmt: skip


def _shared(rate: float, packets: Any, busy: Any) -> Any:
    """What queues had no room for, by worker: devices tell how many in all, and they are taken to be of the fullest."""
    if rate <= 0 or busy.max() <= 0:
        return np.zeros(len(packets))
    part = np.where(busy >= FULL * busy.max(), packets, 0.0)
    return rate * part / max(float(part.sum()), 1e-9)
