"""A pool that grows and shrinks as its controller says, under a load, in real time."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.harness.controlled import Controlled
from benchmarks.harness.loads import LOADS, TICK
from burstline.buffers.chunks import OwnChunks
from burstline.buffers.magazines import Magazines
from burstline.buffers.size_class import SizeClass
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block

SIZE, START, MOST = 576, 8000, 200_000  # bytes, buffers
TICKS, QUICK_TICKS = 4000, 650
FIRST = round(2 / TICK)  # ticks in which there was a ramp: what fails before counts not


class Follower(Struct):
    """What the worker is told, and what it has."""

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
    def mean_populated(self) -> float:
        """Buffers, over the time after the first ramp: what a look left there stays until the next."""
        at, populated = np.array([look[:2] for look in self.looks]).T
        lasted = np.diff(np.clip([*at, len(self.load)], FIRST, len(self.load)))
        return float(populated @ lasted / lasted.sum())

    @property
    def mean_memory(self) -> float:
        return self.mean_populated * SIZE

    @property
    def peak_memory(self) -> float:
        """Of a pool in which nothing ever fails, if it knows how much that is."""
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
    done = Done(name, load, np.zeros(ticks, np.int64))
    worker = threading.Thread(target=follow, args=(made.magazines, load, done.failures, round(TICK * _counter_rate())))
    _follow.load()
    worker.start()
    _control(made, worker, done)
    worker.join()
    return done


def follow(magazines: Magazines, load: Any, failures: Any, tick: int) -> None:
    """Hold as many buffers as the load says, each tick (in counts of the time-stamp counter; 0 for as fast as it goes),
    and write to `failures` how many were not to be had. In the end all are given back."""
    ring, load = np.zeros(1 << 18, np.int64), np.append(load, 0)
    failed = np.zeros(len(load), np.int64)
    follower = Block(Follower.layout)
    follower.set(
        load=load.ctypes.data, ticks=len(load), tick=tick, cache=magazines.cache(0), ring=ring.ctypes.data,
        room=len(ring), failed=failed.ctypes.data,
    )  # fmt: skip
    _follow(follower.address)
    failures[:] = failed[:-1]


def _control(made: SizeClass, worker: threading.Thread, done: Done) -> None:
    """Looks every tick; for one that it missed the policy gets what it sees at the next."""
    controlled = Controlled(made, START, MOST)
    started, ticks = time.perf_counter(), 0
    while worker.is_alive():
        now = time.perf_counter() - started
        done.late = max(done.late, now - ticks * TICK)
        missed = int(now / TICK) - ticks
        controlled.look(1 + missed)
        policy = controlled.policy
        done.looks.append((now / TICK, made.populated, policy.expected, round(policy.forecaster.upper())))
        ticks += 1 + missed
        time.sleep(max(0.0, started + ticks * TICK - time.perf_counter()))


def static_failures(done: Done) -> int:
    """What fails of the same load in a pool that always has as many buffers as ours had on average."""
    n = round(done.mean_populated)
    chunks, magazines = OwnChunks(SIZE, n), Magazines(n, 1)
    magazines.add(chunks.start + SIZE * np.arange(n))  # of which nobody looks at the memory
    failures = np.zeros(len(done.load), np.int64)
    follow(magazines, done.load, failures, 0)
    return int(failures[FIRST:].sum())


def _counter_rate() -> float:
    """Counts of the time-stamp counter in a second."""
    _counter(0)  # which compiles it
    at, first = time.perf_counter(), _counter(0)
    time.sleep(0.05)
    return (_counter(0) - first) / (time.perf_counter() - at)
