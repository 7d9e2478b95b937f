"""The way into a worker's loop, and from old code to new: one pointer is looked at, where no packet is in between.

A loop that finds other code than its own in `worker.code` comes back with SWAPPED, between two bursts. Here the worker
then says which code it runs from now on; once all workers have said so, nobody can be in the old one any more, and it
may be freed. This is read-copy-update with a burst as its quiescent state (McKenney and Slingwine, "Read-copy update:
using execution history to solve concurrency problems", PDCS 1998).
"""

from __future__ import annotations

from burstline.engine.stats_kernel import take_snapshot
from burstline.engine.worker import SWAPPED, Entry, Worker
from burstline.native.memory import call_address, load_acquire, store_release
from burstline.native.struct_type import reference

worker_at, entry_at = reference(Worker), reference(Entry)
CODE, RUNNING = Worker.layout.offset("code"), Worker.layout.offset("running")


def work(address: int) -> int:
    """Run the worker at `address`; returns why it came back, which is never SWAPPED. Called again it goes on by the
    same code, which may be in the middle of a chunk."""
    worker = worker_at(address)
    while True:
        entry = entry_at(worker.running)
        worker.tallies = entry.tallies
        worker.snapshot = entry.snapshot
        reason = call_address(entry.function, address)
        take_snapshot(address)
        if reason != SWAPPED:
            return reason
        store_release(address + RUNNING, load_acquire(address + CODE))


def publish(address: int, value: int) -> int:
    """Store a word that other threads look at: with it they see everything that was written before."""
    store_release(address, value)
    return 0
