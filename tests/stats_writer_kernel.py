"""A worker that does nothing but count and take snapshots, as fast as it can."""

from __future__ import annotations

from burstline.engine.stats_kernel import take_snapshot
from burstline.engine.worker import Worker
from burstline.native.memory import load_acquire, store64
from burstline.native.struct_type import reference

worker_at = reference(Worker)


def write(address: int, words: int, counts: int) -> int:
    """Every one of the `counts` words at `words`, and the packets, say which snapshot it is, until told to stop."""
    worker = worker_at(address)
    number = 0
    while load_acquire(worker.stop) == 0:
        number += 1
        worker.packets_in = number
        worker.consumed = number
        for k in range(counts):
            store64(words + 8 * k, number)
        take_snapshot(address)
    return number
