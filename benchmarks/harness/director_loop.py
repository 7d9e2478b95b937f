"""The software director and rte_distributor, each on one core, with two workers that one thread plays on another."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.ring_port import RingPort
from burstline.engine.program import prepare
from burstline.engine.report import Report
from burstline.engine.versions import Versions
from burstline.engine.worker import FINISHED, QUEUE_SIZE, SLACK, PortQueue, PortWorker
from burstline.packet.burst import Burst
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.direct_stage import direct_stage

WORKERS, BURST, RING = 2, 64, 4096
CIRCULATING = 4000  # packets: fewer than a ring has room for
SETTLE = 0.05  # seconds, before time is taken


def tuples(count: int, flows: int, seed: int = 1) -> Any:
    """Of so many packets addresses and ports, each of one of so many flows at random, and the Toeplitz hash."""
    chance = np.random.default_rng(seed)
    kinds = np.zeros(flows, [("bytes", "u1", 12), ("hash", "<u4")])
    kinds["bytes"] = chance.integers(0, 256, (flows, 12), "u1")
    kinds["hash"] = [toeplitz(DEFAULT_KEY, row.tobytes()) for row in kinds["bytes"]]
    return kinds[chance.integers(0, flows, count)]


def frame() -> bytes:
    """A UDP packet of 64 bytes (60, and the frame check sequence), but for its addresses and ports."""
    data = bytearray(60)
    data[12:15], data[17], data[22], data[23], data[39] = b"\x08\0\x45", 46, 64, 17, 26
    return bytes(data)


class Wire:
    """Packets that go round: a port receives them from a ring, and workers put them back as others."""

    def __init__(self, library: Any, pool: Pool, traffic: Any) -> None:
        self.c, self._traffic = library, traffic
        for name in ("make", "serve_port", "serve_distributor", "distribute"):
            getattr(library, name).restype = ctypes.c_int64
        library.count.restype = ctypes.c_uint64
        self.port = RingPort.pair(pool, ring_size=RING)
        self.ring = self.port.receives_from
        library.traffic(ctypes.c_void_p(traffic.ctypes.data), ctypes.c_uint64(len(traffic)))
        for _ in range(CIRCULATING):
            native.ring_put(self.ring, pool.new(frame()))
        self.port.start()

    def rate(self, direct: Callable[[int], None], serve: Callable[[int], None], seconds: float) -> float:
        """Packets a second that workers get. `direct` and `serve` run until what is at the address is not 0; the
        workers go on until the director, which may wait for them, has ended."""
        stops = Region(64), Region(64)
        cores = sorted(os.sched_getaffinity(0))[-2:]
        threads = [
            threading.Thread(target=_pinned, args=(core, function, stop.address))
            for core, function, stop in zip(cores, (direct, serve), stops, strict=True)
        ]
        for thread in reversed(threads):
            thread.start()
        time.sleep(SETTLE)
        before, start = self.c.count(), time.perf_counter()
        time.sleep(seconds)
        found = (self.c.count() - before) / (time.perf_counter() - start)
        for thread, stop in zip(threads, stops, strict=True):
            stop.set_i64(0, 1)
            thread.join()
        return float(found)

    def of_distributor(self, distributor: int, seconds: float) -> float:
        c, ring = self.c, ctypes.c_int64(self.ring)
        d = ctypes.c_int64(distributor)
        return self.rate(
            lambda stop: c.distribute(d, ring, ctypes.c_int64(stop)),
            lambda stop: c.serve_distributor(d, ctypes.c_int64(WORKERS), ring, ctypes.c_int64(stop)),
            seconds,
        )


class Director:
    """Ours at a wire: what a live run has between a port and its workers."""

    def __init__(self, wire: Wire, pool: Pool, table: SteeringTable) -> None:
        self.wire, self.table = wire, table
        self._inside = RingPort.pair(pool, queues=WORKERS, ring_size=RING)
        self._outside = self._inside.other_side()
        for port in (self._inside, self._outside):
            port.start()
        pipeline = Pipeline(direct_stage(table, 1, WORKERS), name="director")
        compile = partial(prepare, mode="ports", capacity=BURST + SLACK, workers=1, dispatch="auto")
        self._context = Block(PortWorker.layout, 128)
        self._queues, layout = Region((1 + WORKERS) * QUEUE_SIZE), PortQueue.layout
        for number, (port, queue) in enumerate([(wire.port, 0), *((self._outside, q) for q in range(WORKERS))]):
            self._queues.set_i64(number * QUEUE_SIZE + layout.offset("port"), port.id)
            self._queues.set_i64(number * QUEUE_SIZE + layout.offset("queue"), queue)
            self._queues.set_i64(number * QUEUE_SIZE + layout.offset("receives"), 1)
        count = 1 + WORKERS
        sizes = (Burst(BURST + SLACK).size, 8 * count, 8 * count * BURST, 8 * BURST)
        self._rooms = [Region(size) for size in sizes]
        self._context.set(
            workers=1, burst=self._rooms[0].address, queues=self._queues.address, ports=count, out=-1,
            batch=BURST, most=BURST, poll=1, counts=self._rooms[1].address, outbound=self._rooms[2].address,
            unwanted=self._rooms[3].address,
        )  # fmt: skip
        self._versions = Versions(pipeline, compile, Report("", ""), lambda: None)
        self._versions.link([self._context], native.SYMBOLS)

    @property
    def lost(self) -> int:
        """Packets that came, and found the ring of their worker full."""
        return self._context.get("packets_in") - self._context.get("packets_out")

    def rate(self, seconds: float) -> float:
        c, ring, port = self.wire.c, ctypes.c_int64(self.wire.ring), ctypes.c_int64(self._inside.id)

        def direct(stop: int) -> None:
            self._context.set(stop=stop, budget=1 << 62)
            while self._versions.work(0) != FINISHED:
                self._context.set(budget=1 << 62)

        return self.wire.rate(
            direct, lambda stop: c.serve_port(port, ctypes.c_int64(WORKERS), ring, ctypes.c_int64(stop)), seconds
        )

    def close(self) -> None:
        self._versions.close()
        self._outside.close()
        self._inside.close()


def _pinned(core: int, function: Callable[[int], None], stop: int) -> None:
    from burstline.dpdk import thread

    with thread.registered():
        os.sched_setaffinity(0, {core})
        function(stop)
