"""Workers on the queues of a port of rings, and a NIC in front of them that steers by rules, with flows that move."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import burstline as bl
from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import free
from burstline.dpdk.ring_port import RingPort
from burstline.engine.moves.flow_moves import FlowMoves
from burstline.engine.program import prepare
from burstline.engine.report import Report
from burstline.engine.versions import Versions
from burstline.engine.worker import FINISHED, QUEUE_SIZE, SLACK, PortQueue, PortWorker
from burstline.errors import BurstlineError
from burstline.packet.burst import Burst
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import Done, Edit, carry_out
from xdp_machine import packet

BATCH, RING = 32, 1024


class Nic:
    """Steers one packet at a time, between two changes of its rules; refuses what it is told to refuse."""

    def __init__(self, table: SteeringTable) -> None:
        self._director, self.lock = SoftwareDirector(table), threading.Lock()
        self.refuses: Callable[[], bool] = lambda: False

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        return [self._change(edit) for edit in edits]

    def _change(self, edit: Edit) -> Done:
        with self.lock:
            if self.refuses():
                return Done(error=BurstlineError("the device says no"))
            return carry_out(self._director, edit)


class Machine:
    """Runs a pipeline; `send` frames, then `finish`."""

    def __init__(self, pipeline: bl.Pipeline, workers: int, pool: Pool, buckets: int = 16) -> None:
        self.pipeline, self.workers, self.pool = pipeline, workers, pool
        self.table = SteeringTable(workers, buckets=buckets)
        self.nic = Nic(self.table)
        self.port = RingPort.pair(pool, queues=workers, ring_size=RING)
        self.port.start()
        for state in pipeline.state:
            state.reset()
        compile = partial(prepare, mode="ports", capacity=BATCH + SLACK, workers=1, dispatch="auto", moves=True)
        self.stop = Region(64)
        made = [self._context(k) for k in range(workers)]
        self.contexts, self._kept = [context for context, _ in made], made
        self.versions = Versions(pipeline, compile, Report("", ""), lambda: None)
        tables = (SteeringTable(workers, buckets=buckets), SteeringTable(workers, buckets=buckets))
        self.moves = FlowMoves(pipeline, self.contexts, [RING], tables, batch=BATCH)
        self.moves.begin(self.nic, [], self.table.reta(), lambda core: core)
        self.versions.link(self.contexts, native.SYMBOLS)
        self._threads = [threading.Thread(target=self._work, args=(k,)) for k in range(workers)]
        for thread in self._threads:
            thread.start()

    def _context(self, index: int) -> tuple[Block, list[Region]]:
        layout, context = PortQueue.layout, Block(PortWorker.layout, 128)
        rooms = [Region(size) for size in (QUEUE_SIZE, Burst(BATCH + SLACK).size, 8, 8 * BATCH, 8 * BATCH)]
        for name, value in (("port", self.port.id), ("queue", index), ("receives", 1)):
            rooms[0].set_i64(layout.offset(name), value)
        context.set(
            index=index, workers=1, burst=rooms[1].address, stop=self.stop.address, queues=rooms[0].address, ports=1,
            out=-1, batch=BATCH, most=BATCH, counts=rooms[2].address, outbound=rooms[3].address,
            unwanted=rooms[4].address, budget=1 << 62, clock_ns=time.time_ns(), poll=0,
            clock_scale=(10**9 << 32) // native.tsc_hz(),
        )  # fmt: skip
        return context, rooms

    def _work(self, index: int) -> None:
        from burstline.dpdk import thread

        with thread.registered():
            while self.versions.work(index) != FINISHED:
                pass
        self.versions.ended(index)

    def send(self, frame: bytes) -> None:
        """To the queue that the NIC says; waits while that is full."""
        while True:
            with self.nic.lock:
                if not self.port.inject([frame], self.table.queue(packet(frame))):
                    continue
                return

    @property
    def received(self) -> list[int]:
        return [context.get("packets_in") for context in self.contexts]

    def finish(self) -> dict[str, Any]:
        """When all that was sent has been handled."""
        self.moves.end()
        end = time.monotonic() + 60
        while self.port.waiting and time.monotonic() < end:
            time.sleep(0.001)
        self.stop.set_i64(0, 1)
        for thread in self._threads:
            thread.join()
        self.versions.close()
        left = self.moves.left_over()
        free(left)
        self.port.close()
        return {"received": self.received, "left": len(left), "moves": self.moves.moves, "late": self.moves.late,
                "records": self.moves.records, "held": self.moves.held, "passed_on": self.moves.passed_on}  # fmt: skip
