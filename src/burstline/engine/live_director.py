"""The software director of a live run: one thread that alone polls the ports, and hands packets to workers over rings.

    port -> director -> a ring for each worker -> worker -> a ring for each worker -> director -> port

To a worker, the two rings are a port with a queue of its own. One thread that sends keeps the order of each flow, and
so does one ring between two threads; a port needs no more than one queue.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from burstline.engine.config import Config
from burstline.engine.steered import SteeredPort, check_control
from burstline.engine.worker import ENDED, PORTS, QUEUE_SIZE, SEND_FAILED, TALLY, PortQueue
from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable
from burstline.state.toeplitz import DEFAULT_KEY
from burstline.steering.direct_stage import direct_stage
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import carry_out
from burstline.steering.rule import SteeringRule

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.dpdk.ring_port import RingPort

RING = 1024  # packets that wait for a worker, or to be sent; a ring keeps one place free
MOST_WORKERS = 16  # RTE_PMD_RING_MAX_RX_RINGS: queues of a port of rings
RECEIVES = PortQueue.layout.offset("receives")


def steering_of(pipeline: Pipeline, config: Config) -> list[SteeringRule] | None:
    """The rules of a run that has a director, else None. Raises UsageError where there are rules and it is off."""
    rules = [*pipeline.steering, *(each.rule for each in config.steering)]
    if rules and config.enable_flow_director is False:
        raise UsageError(
            f"the pipeline has {len(rules)} steering rules, and the flow director is off",
            'write enable_flow_director = "auto" into burstline.toml',
        )
    if config.steering_control.act != "off":
        check_control(config)
        return rules
    return rules if rules or config.enable_flow_director is True else None


class LiveDirector:
    """`rules` are in force from the first packet on; `cores` are those of the workers. Raises UsageError."""

    def __init__(self, ports: int, cores: Sequence[int], rules: Sequence[SteeringRule]) -> None:
        workers = len(cores)
        if workers > MOST_WORKERS or ports * (1 + workers) > PORTS:
            most = min(MOST_WORKERS, PORTS // ports - 1)
            raise UsageError(
                f"the software director cannot serve {workers} workers at {ports} ports", f"use --workers {most}"
            )
        self._count, self._workers = ports, workers
        self.table = SteeringTable(workers, ports=ports)
        self.rules = SoftwareDirector(self.table, {core: k for k, core in enumerate(cores)}.__getitem__)
        self.rules.apply(rules)
        self.pipeline = Pipeline(direct_stage(self.table, ports, workers), name="director")
        self._inside: list[RingPort] = []  # of each port, what workers take for it
        self._outside: list[RingPort] = []  # and its other side
        self._queues = Region(ports * (1 + workers) * QUEUE_SIZE)
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
            yield self._inside

    @contextmanager
    def steer_as(self, rules: Sequence[SteeringRule]) -> Iterator[None]:
        """These rules from now on, and those before again where the block fails. Raises UsageError."""
        before = list(self.rules.rules().values())
        if rules != before:
            self.rules.apply(rules)
        try:
            yield
        except BaseException:
            self.rules.apply(before)
            raise

    def queues(self, ports: Sequence[Port], receives: Callable[[int], bool]) -> tuple[Region, int]:
        """What the director polls and sends on, and how many: the ports, then of each the queues of its other side."""
        polled = [(port, 0, receives(k)) for k, port in enumerate(ports)]
        polled += [(port, queue, True) for port in self._outside for queue in range(self._workers)]
        layout = PortQueue.layout
        for number, (port, queue, source) in enumerate(polled):
            base = number * QUEUE_SIZE
            self._queues.set_i64(base + layout.offset("port"), port.id)
            self._queues.set_i64(base + layout.offset("queue"), queue)
            self._queues.set_i64(base + RECEIVES, int(source))
            self._queues.set_i64(base + layout.offset("pools"), ports[0].table)
        return self._queues, len(polled)

    def end(self) -> None:
        """Have `step` bring all to its end: any thread may say so."""
        self._ending = True

    def step(self, context: Block, workers: Sequence[Block], stop_workers: Region, stop: Region) -> None:
        """One look at how far the end is: no more packets are taken from the ports; then the director has nothing for
        workers; then they nothing for it."""
        if not self._ending:
            return
        if self._polls is None:
            for number in range(self._count):
                self._queues.set_i64(number * QUEUE_SIZE + RECEIVES, 0)
            self._polls = context.get("polls") + 2 * self._count * (1 + self._workers)
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

    def steered(self) -> SteeredPort:
        """All ports, for the controller: they have one table."""
        rules, table = self.rules, self.table
        return SteeredPort(rules, lambda edits: [carry_out(rules, e) for e in edits], DEFAULT_KEY, tuple(table.reta()))

    def as_json(self, workers: Sequence[Block]) -> dict[str, Any]:
        """What was steered, for the report."""
        counts = self.rules.counts()
        rules = [
            {"rule": str(rule), **dict(zip(("packets", "bytes"), counts.get(handle, (None, None)), strict=True))}
            for handle, rule in self.rules.rules().items()
        ]
        return {"back_end": self.rules.name, "rules": rules, "workers": [w.get("packets_in") for w in workers]}


def unsent(director: Block) -> int:
    """Packets for which the rings of workers had no room, or a port that they were to leave by."""
    tallies = director.get("tallies")
    return ctypes.c_int64.from_address(tallies + SEND_FAILED * TALLY).value if tallies else 0
