"""Back ends of the flow director with real packets before them: what tests/steering_suite.py is put to."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from burstline.engine.program import prepare
from burstline.engine.report import Report
from burstline.engine.versions import Versions
from burstline.engine.worker import QUEUE_SIZE, SLACK, PortQueue, PortWorker
from burstline.offload import mbuf as m
from burstline.packet.burst import Burst
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.steering.back_end import BackEnd
from burstline.steering.direct_stage import direct_stage
from burstline.steering.director import SoftwareDirector
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import HardwareDriver
from burstline.steering.model.faults import Faults
from burstline.steering.model.nic import NicModel
from steering_suite import BUCKETS, QUEUES, Bench
from xdp_machine import Machine, machine

if TYPE_CHECKING:
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.port import Port

BURST = 32
CORES = {core: core for core in range(QUEUES)}  # and the queue that the worker of each polls


def taken(ports: list[tuple[Port, int]]) -> tuple[int, int]:
    """Where the one packet is that was sent, and its mark."""
    from burstline.dpdk.binding import native
    from burstline.dpdk.port import free

    found = []
    for queue, (port, number) in enumerate(ports):
        for mbuf in native.receive(port.id, number, BURST):
            marked = native.mbuf_marks(mbuf)["ol_flags"] & m.RX_FDIR_ID
            found.append((queue, ctypes.c_uint32.from_address(mbuf + m.MARK).value if marked else 0))
            free([mbuf])
    assert len(found) <= 1, "one packet comes once"
    return found[0] if found else (-1, 0)


class Hardware:
    """`RteFlow` over a NIC in software, step by step."""

    def __init__(self, pool: Pool, driver: str, capacity: int | None) -> None:
        from burstline.dpdk.ring_port import RingPort
        from burstline.steering.model.nic_port import NicPort

        self.wire, faults = RingPort.pair(pool), Faults(capacity=capacity)
        self.wire.start()
        self.port = NicPort.over(NicModel(driver, queues=QUEUES, reta_size=BUCKETS, faults=faults), pool, self.wire)
        self.port.start()
        self.name, self.driver = driver, self.port.model.personality
        self.back_end: BackEnd = RteFlow(self.port.model, CORES.__getitem__)

    def steer(self, packet: bytes) -> tuple[int, int]:
        assert self.wire.inject([packet]) == 1
        assert self.port.pump() == 1
        return taken([(self.port, queue) for queue in range(QUEUES)])

    def close(self) -> None:
        self.port.close()
        self.wire.close()


class Software:
    """The software director, compiled, between a port and the rings of workers; one burst at a time."""

    name, driver = "software", None

    def __init__(self, pool: Pool, flows: int = 4096) -> None:
        from burstline.dpdk.binding import native
        from burstline.dpdk.ring_port import RingPort

        self.table = SteeringTable(QUEUES, buckets=BUCKETS, flows=flows)
        self.back_end: BackEnd = SoftwareDirector(self.table, CORES.__getitem__)
        self.wire = RingPort.pair(pool)
        self._inside = RingPort.pair(pool, queues=QUEUES)
        self._outside = self._inside.other_side()
        for port in (self.wire, self._inside, self._outside):
            port.start()
        count, layout = 1 + QUEUES, PortQueue.layout
        self._queues, self.context = Region(count * QUEUE_SIZE), Block(PortWorker.layout, 128)
        for number, (port, queue) in enumerate([(self.wire, 0), *((self._outside, q) for q in range(QUEUES))]):
            for name, value in (("port", port.id), ("queue", queue), ("receives", int(number == 0))):
                self._queues.set_i64(number * QUEUE_SIZE + layout.offset(name), value)
        sizes = (Burst(BURST + SLACK).size, 8 * count, 8 * count * BURST, 8 * BURST, 64)
        self._rooms = [Region(size) for size in sizes]
        self.context.set(
            workers=1, burst=self._rooms[0].address, queues=self._queues.address, ports=count, out=-1, batch=BURST,
            most=BURST, poll=1, counts=self._rooms[1].address, outbound=self._rooms[2].address,
            unwanted=self._rooms[3].address, stop=self._rooms[4].address,
        )  # fmt: skip
        pipeline = Pipeline(direct_stage(self.table, 1, QUEUES), name="director")
        compile = partial(prepare, mode="ports", capacity=BURST + SLACK, workers=1, dispatch="auto")
        self._versions = Versions(pipeline, compile, Report("", ""), lambda: None)
        self._versions.link([self.context], native.SYMBOLS)

    def steer(self, packet: bytes) -> tuple[int, int]:
        assert self.wire.inject([packet]) == 1
        self.context.set(budget=1)  # comes back after one burst
        self._versions.work(0)
        return taken([(self._inside, queue) for queue in range(QUEUES)])

    def close(self) -> None:
        self._versions.close()
        for port in (self._outside, self._inside, self.wire):
            port.close()


class Xdp:
    """The XDP program, run by the kernel over each packet."""

    name, driver = "xdp", None

    def __init__(self, made: Machine) -> None:
        self._machine = made
        self.back_end: BackEnd = SoftwareDirector(made.table, CORES.__getitem__)

    def steer(self, packet: bytes) -> tuple[int, int]:
        return self._machine.steer(packet)


@contextmanager
def bench(name: str, pool: Pool | None, room: int | None = None) -> Iterator[Bench]:
    """By its name: `software`, `xdp` or that of a driver. `room` is how many rules it has room for."""
    if name == "xdp":
        with machine(flows=room or 4096, buckets=BUCKETS) as made:
            yield Xdp(made)
        return
    assert pool is not None
    opened = Software(pool, room or 4096) if name == "software" else Hardware(pool, name, room)
    try:
        yield opened
    finally:
        opened.close()


__all__ = ["Hardware", "HardwareDriver", "Software", "Xdp", "bench", "taken"]
