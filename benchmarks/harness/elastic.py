"""A pool that grows and shrinks as its controller says, under a load, in real time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness.loads import LOADS, TICK
from burstline.buffers.chunks import OwnChunks
from burstline.buffers.controller import Seen, Settings, controller
from burstline.buffers.magazines import Magazines
from burstline.buffers.size_class import SizeClass
from burstline.native.fieldtypes import i64, shared
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block

SIZE, START, MOST = 576, 8000, 200_000  # bytes, buffers
HORIZON = round(0.02 / TICK)  # populating the memory of a ramp takes some milliseconds
TICKS, QUICK_TICKS = 4000, 400
FIRST = round(3 / TICK)  # ticks in which there was a ramp: what fails before counts not


class Follower(Struct):
    """What the worker is told, and how far it is."""

    now: shared
    load: i64
    ticks: i64
    tick: i64  # counts of the time-stamp counter
    cache: i64
    ring: i64
    room: i64
    taken: i64
    held: i64
    failed: i64


@dataclass
class Done:
    """What happened: by tick the load and what failed of it; by look of the controller its time in ticks, the buffers
    populated, and the load that was expected `HORIZON` ticks later."""

    name: str
    load: Any
    failures: Any
    looks: list[tuple[float, int, int, int]] = field(default_factory=list)
    late: float = 0.0  # seconds, the controller's worst look

    @property
    def failed(self) -> int:
        """Buffers, after the first ramp."""
        return int(self.failures[FIRST:].sum())

    @property
    def populated(self) -> Any:
        return np.array([look[1] for look in self.looks if look[0] >= FIRST] or [look[1] for look in self.looks])

    @property
    def mean_memory(self) -> float:
        return float(self.populated.mean() * SIZE)

    @property
    def peak_memory(self) -> float:
        return float(self.load.max() * SIZE)


_counter = Kernel("benchmarks.harness.elastic_kernel:counter", int)
_follow = Kernel("benchmarks.harness.elastic_kernel:follow", Follower)


def run_load(name: str, *, quick: bool = False) -> Done:
    """Follow a load of `LOADS`, eight times as high, on this machine's cores."""
    ticks = QUICK_TICKS if quick else TICKS
    load = (8 * LOADS[name](ticks)).astype(np.int64)
    chunks = OwnChunks(SIZE, MOST)
    made = SizeClass(chunks, Magazines(chunks.count * chunks.per_chunk, 1))
    made.grow(START)
    made.shrink(0)  # so that its kernels are compiled
    done = Done(name, load, np.zeros(ticks, np.int64))
    ring = np.zeros(1 << 18, np.int64)
    follower = Block(Follower.layout)
    follower.set(
        load=load.ctypes.data, ticks=ticks, tick=round(TICK * _counter_rate()), cache=made.magazines.cache(0),
        ring=ring.ctypes.data, room=len(ring), failed=done.failures.ctypes.data,
    )  # fmt: skip
    _follow.load()
    worker = threading.Thread(target=_follow, args=(follower.address,))
    worker.start()
    _control(made, follower, worker, done)
    worker.join()
    return done


def _control(made: SizeClass, follower: Block, worker: threading.Thread, done: Done) -> None:
    """Looks every tick; for one that it missed the policy gets what it sees at the next."""
    policy = controller(Settings(START, MOST, HORIZON))
    started, ticks = time.perf_counter(), 0
    while worker.is_alive():
        now = time.perf_counter() - started
        done.late = max(done.late, now - ticks * TICK)
        missed = int(now / TICK) - ticks
        seen = Seen(
            made.in_use, made.in_use, made.magazines.count(0).cached, made.usable, made.magazines.count(0).failed
        )
        for _ in range(1 + missed):
            change, policy = policy.decide(seen)
        if change > 0:
            made.grow(change)
        elif change < 0:
            made.shrink(-change)
        else:
            made.tidy()
        done.looks.append((now / TICK, made.populated, policy.expected, round(policy.forecaster.upper())))
        ticks += 1 + missed
        time.sleep(max(0.0, started + ticks * TICK - time.perf_counter()))


def static_failures(done: Done) -> int:
    """What a pool would have failed that always has as much memory as ours had on average."""
    return int(np.maximum(0, done.load[FIRST:] - done.populated.mean()).sum())


def _counter_rate() -> float:
    """Counts of the time-stamp counter in a second."""
    _counter(0)  # which compiles it
    at, first = time.perf_counter(), _counter(0)
    time.sleep(0.05)
    return (_counter(0) - first) / (time.perf_counter() - at)
