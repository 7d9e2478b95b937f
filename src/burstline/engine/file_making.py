"""Room for the packets that stages make of a capture's chunks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from burstline.buffers.classes import DEFAULT
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.pool import PacketDataPool
from burstline.buffers.usage import ClassUsage
from burstline.engine.report import Report
from burstline.engine.worker import ENGINE_REASONS, NO_BUFFER
from burstline.errors import BurstlineError
from burstline.packet.burst import Burst
from burstline.packet.made import MADE_STRIDE, Made
from burstline.ports.capture_file import CHUNK, CHUNK_STRIDE, Chunk
from burstline.ports.capture_format import MAX_CAPTURED
from burstline.state.region import Block, Region

GIANT = {65536: 16, MAX_CAPTURED: 2}  # sizes for whatever a capture may hold, and how many there are for a chunk
CLASSES = (*DEFAULT.sizes, *GIANT)
SHORTEST = 64  # bytes that a packet takes in a file: of shorter ones not all can be cloned


class FileMaking:
    """Buffers and bursts for what the stages make; `provide` gives them to a run's chunks and workers. `buffers` of
    each class: without it, as many as clones of all packets can take."""

    def __init__(self, workers: int, chunks: int, capacity: int, buffers: int | None = None) -> None:
        self.workers, self.chunks, self.capacity, self.buffers = workers, chunks, capacity, buffers
        self._memory: list[Region] = []
        self.pool: PacketDataPool | None = None

    def provide(self, chunks: Region, contexts: Sequence[Block]) -> None:
        """Once, before a pipeline runs that makes packets: none has run that did."""
        if self.pool is not None:
            return
        self.pool = PacketDataPool(CLASSES, buffers=self._buffers(), cores=self.workers)
        for number in range(self.chunks):
            block = Region(self.workers * MADE_STRIDE)
            self._memory.append(block)
            for worker in range(self.workers):
                burst = Region(Burst(self.capacity).size, huge=False)
                self._memory.append(burst)
                at = worker * MADE_STRIDE
                values = {"burst": burst.address, "room": self.capacity - 1, "source": self.pool.stock(worker)}
                for name, value in values.items():
                    block.set_i64(at + Made.layout.offset(name), value)
            chunks.set_i64(number * CHUNK_STRIDE + Chunk.layout.offset("made"), block.address)
        for worker, context in enumerate(contexts):
            context.set(stock=self.pool.stock(worker))

    def usage(self) -> list[ClassUsage]:
        return [] if self.pool is None else self.pool.usage()

    def check(self, report: Report) -> None:
        """After a run: say what was missing. Raises BurstlineError where a buffer is not back."""
        if (reason := ENGINE_REASONS[NO_BUFFER]) in report.drops:
            many = report.drops[reason].packets
            report.warnings.append(
                f"{many:,} packets that stages made found no buffer: set [pools] buffers above "
                f"{max(self._buffers().values()):,}, or make fewer than {self.capacity:,} packets of {CHUNK >> 10} KiB "
                "of the capture"
            )
        if self.pool is not None and self.pool.in_use:
            raise BurstlineError(
                f"{self.pool.in_use} buffers of packets that stages made were not given back",
                "this is a fault of burstline; please report it",
            )

    def _buffers(self) -> Mapping[int, int]:
        """By size: as many as clones of all packets of all chunks can take, and what workers' caches keep back, or as
        many as were asked for; but few of those sizes that hardly come."""
        if self.buffers is not None:
            asked = dict.fromkeys(DEFAULT.sizes, self.buffers)
            giant = {size: self.buffers * DEFAULT.largest // size for size in GIANT}  # in the memory of jumbo frames
            return asked | {size: max(count, giant[size]) for size, count in self._giant().items()}
        least, found = SHORTEST, {}
        for size in DEFAULT.sizes:
            found[size] = self.chunks * (CHUNK // least + 1) + 2 * ROUNDS * self.workers
            least = size
        return found | self._giant()

    def _giant(self) -> dict[int, int]:
        return {size: self.chunks * count for size, count in GIANT.items()}
