"""The software director of a live run: one thread that alone polls ports, and hands packets to workers over rings.

    port -> director -> a ring for each worker -> worker -> a ring for each worker -> director -> port

To a worker, the two rings are a port with a queue of its own. One thread that sends keeps the order of each flow, and
so does one ring between two threads; a port needs no more than one queue. Other ports may be polled by the workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from burstline.engine.report import Count
from burstline.engine.ring_counts import RingCounts
from burstline.engine.worker import ENDED, PORTS, QUEUE_SIZE, PortQueue
from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.steering.direct_stage import direct_stage
from burstline.steering.director import SoftwareDirector

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.dpdk.ring_port import RingPort

RING = 1024  # packets that wait for a worker, or to be sent; a ring keeps one place free
MOST_WORKERS = 16  # RTE_PMD_RING_MAX_RX_RINGS: queues of a port of rings
RECEIVES = PortQueue.layout.offset("receives")


class LiveDirector:
    """For ports that have so many `queues`, which it polls all; `cores` are those of the workers. Raises UsageError."""

    def __init__(self, queues: Sequence[int], cores: Sequence[int], *, symmetric: bool = False) -> None:
        workers, ports, most = len(cores), len(queues), max(queues)
        if workers > MOST_WORKERS or ports * (most + workers) > PORTS:
            fewer = max(1, min(MOST_WORKERS, PORTS // ports - most))
            raise UsageError(
                f"the software director cannot serve {workers} workers at {ports} ports", f"use --workers {fewer}"
            )
        self._ports, self._each, self._workers = list(queues), most, workers
        self.table = SteeringTable(workers, ports=ports * most, symmetric=symmetric)
        self.rules = SoftwareDirector(self.table, {core: k for k, core in enumerate(cores)}.__getitem__)
        self.pipeline = Pipeline(direct_stage(self.table, ports, workers, most), name="director")
        self._inside: list[RingPort] = []  # of each port, what workers take for it
        self._outside: list[RingPort] = []  # and its other side
        self._queues = Region(ports * (most + workers) * QUEUE_SIZE)
        self._ending = False
        self._polls: int | None = None  # of the director, when it surely takes no more packets from the ports

    @contextmanager
    def opened(self, ports: Sequence[Port]) -> Iterator[Sequence[Port]]:
        """The rings: what workers take for the ports. At the end they are gone, with what is in them."""
        from burstline.dpdk.ring_port import RingPort

        with ExitStack() as stack:
            for port in ports:
                inside = RingPort.pair(port.pools[0], queues=self._workers, ring_size=RING)
                stack.callback(inside.close)
                outside = inside.other_side()
                stack.callback(outside.close)
                inside.table, inside.leaves_by = port.table, port.id
                inside.start()
                outside.start()
                self._inside.append(inside)
                self._outside.append(outside)
            self._counts = RingCounts(self._inside), RingCounts(self._outside)
            for counts in self._counts:
                stack.callback(counts.close)
            yield self._inside

    def queues(self, ports: Sequence[Port], receives: Sequence[bool]) -> tuple[Region, int]:
        """What the director polls and sends on, and how many: the queues of the ports, then of each those of its other
        side."""
        layout = PortQueue.layout
        polled = [
            (port, queue if queue < self._ports[k] else 0, receives[k] and queue < self._ports[k])
            for k, port in enumerate(ports)
            for queue in range(self._each)
        ]
        polled += [(port, queue, True) for port in self._outside for queue in range(self._workers)]
        for number, (port, queue, source) in enumerate(polled):
            base = number * QUEUE_SIZE
            self._queues.set_i64(base + layout.offset("port"), port.id)
            self._queues.set_i64(base + layout.offset("queue"), queue)
            self._queues.set_i64(base + RECEIVES, int(source))
            self._queues.set_i64(base + layout.offset("pools"), ports[0].table)
        return self._queues, len(polled)

    def passed(self) -> tuple[Count, Count]:
        """What workers received from the rings, and what the director received of them."""
        return self._counts[0].total(), self._counts[1].total()

    def end(self) -> None:
        """Have `step` bring all to its end: any thread may say so."""
        self._ending = True

    def step(self, context: Block, workers: Sequence[Block], stop_workers: Region, stop: Region) -> None:
        """One look at how far the end is: no more packets are taken from the ports; then the director has nothing for
        workers; then they nothing for it."""
        if not self._ending:
            return
        if self._polls is None:
            ports = len(self._ports)
            for number in range(ports * self._each):
                self._queues.set_i64(number * QUEUE_SIZE + RECEIVES, 0)
            self._polls = context.get("polls") + 2 * ports * (self._each + self._workers)
        gone = context.get("running") == ENDED
        if not gone and context.get("polls") < self._polls:
            return
        if gone or not any(port.waiting for port in self._inside):
            stop_workers.set_i64(0, 1)
        if all(worker.get("running") == ENDED for worker in workers) and not any(p.waiting for p in self._outside):
            stop.set_i64(0, 1)

    @property
    def is_ending(self) -> bool:
        return self._ending
