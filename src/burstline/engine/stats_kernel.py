"""A worker copies its counts to shared memory, where other processes read them: no system call, no line that it shares
with what it works on. See stats_layout."""

from __future__ import annotations

import time

from burstline.engine.worker import Snapshot, Worker
from burstline.native.memory import external, load64, store64, store_fence, store_release, stream_line
from burstline.native.struct_type import reference
from burstline.simd.memory import scratch

clock_gettime = external("clock_gettime", 2)  # on Linux read in user space (vdso(7))
worker_at, snapshot_at = reference(Worker), reference(Snapshot)
CLOCK, SECOND, LINE = time.CLOCK_MONOTONIC, 1_000_000_000, 64
NO_SNAPSHOT = 1 << 16  # rounds until it looks whether there is one now


def now() -> int:
    timespec = scratch()
    clock_gettime(CLOCK, timespec)
    return load64(timespec) * SECOND + load64(timespec + 8)


def counts_of(worker: Worker, line: int) -> None:
    """A snapshot's first line: stats_layout.COUNTS."""
    store64(line, now())
    store64(line + 8, worker.packets_in)
    store64(line + 16, worker.bytes_in)
    store64(line + 24, worker.packets_out)
    store64(line + 32, worker.bytes_out)
    store64(line + 40, worker.consumed)
    store64(line + 48, worker.bytes_consumed)
    store64(line + 56, worker.made)


def stream_lines(to: int, source: int, count: int) -> int:
    """Returns where the next line goes."""
    for number in range(count):
        stream_line(to + number * LINE, source + number * LINE)
    return to + count * LINE


def take_snapshot(address: int) -> None:
    """Between two bursts: what came in is what was sent, consumed and dropped."""
    worker = worker_at(address)
    if worker.snapshot == 0:
        return
    snapshot, counts = snapshot_at(worker.snapshot), scratch()
    counts_of(worker, counts)
    taken = snapshot.taken + 1
    to = snapshot.area + LINE + (taken & 1) * snapshot.size
    store_fence()  # who sees any of it sees that the one before is there
    to = stream_lines(to, counts, 1)
    to = stream_lines(to, snapshot.tallies, snapshot.tally_lines)
    stream_lines(to, snapshot.counters, snapshot.counter_lines)
    store_fence()
    store_release(snapshot.area, taken)
    snapshot.taken = taken


def look(address: int) -> int:
    """Every so many rounds of the loop: is it time for a snapshot?"""
    worker = worker_at(address)
    if worker.snapshot == 0:  # no room was left for that of a new version
        worker.rounds = NO_SNAPSHOT
        return 0
    snapshot = snapshot_at(worker.snapshot)
    worker.rounds = snapshot.look_every
    time = now()
    if time >= snapshot.next:
        snapshot.next = time + snapshot.every
        take_snapshot(address)
    return 0
