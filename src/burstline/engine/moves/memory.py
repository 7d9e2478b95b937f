"""The memory through which workers pass flows on to each other, and what they say of how far they are."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.engine.moves.phases import FRAME, HELD, Mover
from burstline.engine.program import Instance, Program
from burstline.engine.worker import SLACK
from burstline.packet.burst import Burst
from burstline.packet.flow_key import KEY_SIZE
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_moves import (
    LOOKS,
    PACKETS,
    PACKETS_AT,
    PUT,
    ROWS,
    ROWS_AT,
    ROWS_PUT,
    ROWS_TAKEN,
    TAKEN,
    Moving,
    Sifting,
)
from burstline.state.flow_table import FlowTable
from burstline.state.region import Block, Region
from burstline.state.steering_table import SteeringTable


class MoverMemory:
    """One worker's. `depths` are how many packets may wait at each of its ports."""

    def __init__(self, index: int, phase: Region, batch: int, depths: Sequence[int]) -> None:
        self.mover, self.moving, self.sifting = Block(Mover.layout), Block(Moving.layout), Block(Sifting.layout)
        capacity, words = batch + SLACK, 8 * len(depths)
        self._burst, self._frames = Region(Burst(capacity).size), Region(FRAME * max(capacity, LOOKS))
        self._held, self._depths, self._left = Region(8 * HELD), Region(words), Region(words)
        self._keys, self._numbers = Region(KEY_SIZE * LOOKS), Region(4 * LOOKS)
        self._instance: Instance | None = None
        for number, depth in enumerate(depths):
            self._depths.set_i64(8 * number, depth)
        self.sifting.set(burst=self._burst.address, frames=self._frames.address)
        self.moving.set(
            index=index, sifting=self.sifting.address, keys=self._keys.address, numbers=self._numbers.address
        )
        self.mover.set(
            phase=phase.address, moving=self.moving.address, held=self._held.address,
            depths=self._depths.address, left=self._left.address,
        )  # fmt: skip

    def link(self, program: Program, worker: int, before: SteeringTable, after: SteeringTable) -> None:
        """Have it ask both tables."""
        self._instance = Instance(program, worker)
        self.moving.set(sift=self._instance.function)
        self.sifting.set(
            before=before.results(worker), after=after.results(worker),
            rule_before=before.decided(worker), rule_after=after.decided(worker),
        )  # fmt: skip

    def waiting(self) -> list[int]:
        """The mbufs that it holds."""
        first, count = self.mover.get("first"), self.mover.get("waiting")
        words = [self._held.i64(8 * ((first + k) % HELD)) for k in range(count)]
        self.mover.set(waiting=0)
        return [word & ~63 for word in words]


class Links:
    """Of each worker to each. Rows have the size that the pipeline's tables need."""

    def __init__(self, workers: int, pipeline: Pipeline) -> None:
        self.workers = workers
        self._links = [[Region(PACKETS_AT + 8 * PACKETS) for _ in range(workers)] for _ in range(workers)]
        self._ways = [Region(16 * workers) for _ in range(workers)]
        self._rows: list[Region] = []
        self.tables = self.row = 0
        for one, ways in enumerate(self._ways):
            for other in range(workers):
                ways.set_i64(16 * other, self._links[one][other].address)
                ways.set_i64(16 * other + 8, self._links[other][one].address)
        self.fit(pipeline)

    def fit(self, pipeline: Pipeline) -> None:
        """Make room for rows of this pipeline's tables. While nothing moves."""
        tables = [state for state in pipeline.state if isinstance(state, FlowTable)]
        self.tables, self.row = len(tables), max((8 + table.geometry.row for table in tables), default=8)
        every = [link for links in self._links for link in links]
        self._rows = [Region(ROWS * self.row) for _ in every]
        for link, rows in zip(every, self._rows, strict=True):
            link.set_i64(ROWS_AT, rows.address)

    def show(self, memory: MoverMemory, worker: int) -> None:
        memory.moving.set(workers=self.workers, links=self._ways[worker].address, row=self.row, tables=self.tables)

    @property
    def rows_wait(self) -> bool:
        return any(link.i64(ROWS_PUT) != link.i64(ROWS_TAKEN) for links in self._links for link in links)

    @property
    def packets_wait(self) -> bool:
        return any(link.i64(PUT) != link.i64(TAKEN) for links in self._links for link in links)

    def waiting(self) -> list[int]:
        """The mbufs in all links, which have none then."""
        found = []
        for link in (link for links in self._links for link in links):
            for at in range(link.i64(TAKEN), link.i64(PUT)):
                found.append(link.i64(PACKETS_AT + 8 * (at % PACKETS)) & ~63)
            link.set_i64(TAKEN, link.i64(PUT))
        return found
