"""Running a pipeline over a capture file with compiled code."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from burstline.engine.program import Instance, Program, prepare
from burstline.engine.report import Report
from burstline.engine.tally import add_up, close_sink
from burstline.engine.threads import Team, process_age
from burstline.engine.worker import DRAIN_DIGESTS, FINISHED, TALLY, FileWorker
from burstline.packet.burst import Burst
from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_file import BUFFER, CHUNK_PACKETS, LIST, STRAND_MEMORY, VERDICTS, Chunk, OpenCapture
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.ports.capture_writer import format_for
from burstline.ports.output import check_output
from burstline.state.digest import Digest
from burstline.state.region import Block, Region

CAPACITY = CHUNK_PACKETS + 64  # the prefetch looks a little past the last packet
CHUNK_STRIDE = 128  # as file_kernel.CHUNK_SIZE: no two workers write one cache line pair
ALIGN = 64  # room before a buffer, for poll(2)'s structure
Progress = Callable[[int, "int | None", int], None]  # bytes read, bytes in all, packets


class FileRun:
    """One run over one capture: memory, threads, result."""

    def __init__(
        self,
        pipeline: Pipeline,
        path: str,
        out: str | None,
        *,
        workers: int = 1,
        cores: Sequence[int] = (),
        dispatch: str = "auto",
        tunnel_ports: TunnelPorts = USUAL_PORTS,
        duration: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.pipeline, self.path, self.out = pipeline, path, out
        self.workers, self.cores, self.duration, self.progress = workers, cores, duration, progress
        self.dispatch, self.tunnel_ports = dispatch, tunnel_ports
        self.report = Report(path, "compiled", workers)
        self._digests = [s for s in pipeline.state if isinstance(s, Digest)]
        self._draining = threading.Lock()
        self._stop = Region(64)
        self._failure: Exception | None = None
        self._started = 0.0

    def run(self) -> Report:
        """Process the capture to its end, or until it is stopped. A fault of the file or the sink is raised when all
        before it has been processed, written and counted: `report` is complete in any case."""
        check_output(self.out, self.path)
        for state in self.pipeline.state:
            state.reset()
        capture = OpenCapture(self.path)
        try:
            program = prepare(
                self.pipeline,
                mode="file",
                capacity=CAPACITY,
                workers=self.workers,
                dispatch=self.dispatch,
                source="pcapng" if capture.block.get("is_pcapng") else "pcap",
                sink=format_for(self.out) if self.out else "",
                tunnel_ports=self.tunnel_ports,
            )
            self.report.dispatch = program.dispatch
            if not program.plan["writes"]:
                capture.map()
            sink = CaptureSink(self.out) if self.out else None
            self._process(program, capture, sink)
        finally:
            capture.close()
        return self.report

    def _process(self, program: Program, capture: OpenCapture, sink: CaptureSink | None) -> None:
        stop = self._stop
        capture.block.set(stop=stop.address)
        slots = 1 if self.workers == 1 else 2
        chunks = Region(self.workers * slots * CHUNK_STRIDE)
        memory = [self._chunk(chunks, k, capture.head if k == 0 else b"") for k in range(self.workers * slots)]
        contexts = []
        for index in range(self.workers):
            tallies = Region(len(program.reasons) * TALLY)
            context = Block(FileWorker.layout, 128)
            context.set(
                index=index, workers=self.workers, tallies=tallies.address, stop=stop.address, slots=slots,
                has_sink=int(sink is not None), sink=sink.block.address if sink else 0, capture=capture.block.address,
                chunks=chunks.address, budget=1, next_read=index, next_write=index,
            )  # fmt: skip
            contexts.append((context, tallies))
        instances = [Instance(program) for _ in range(self.workers)]

        def work(index: int) -> None:
            context, instance = contexts[index][0], instances[index]
            while (reason := instance.run(context)) != FINISHED:
                if self.report.first_packet_seconds is None:
                    self.report.first_packet_seconds = process_age()
                if reason == DRAIN_DIGESTS:
                    self._drain()
                else:
                    context.set(budget=1 << 62)

        def tick() -> None:
            self._drain()
            if self.progress:
                self.progress(capture.position, capture.size, sum(c.get("packets_in") for c, _ in contexts))

        self._started = time.perf_counter()
        try:
            self.report.stopped = Team(self.workers, work, self.cores).run(
                lambda: stop.set_i64(0, 1), tick, self.duration, 0.1
            )
        finally:
            self.report.seconds = time.perf_counter() - self._started
            self._drain()
            add_up(self.report, contexts, program.reasons)
            self.report.warnings += [w for s in self.pipeline.state for w in s.warnings()]
            if sink:
                close_sink(self.report, sink, (capture.linktypes() or [LINKTYPE_ETHERNET])[0])
            del memory
        if self._failure is not None:
            raise self._failure
        if not self.report.stopped:
            capture.finish()

    def _chunk(self, chunks: Region, number: int, head: bytes) -> tuple[Region, ...]:
        buffer, burst = Region(ALIGN + BUFFER), Region(Burst(CAPACITY).size)
        verdicts, lists = Region(self.workers * VERDICTS), Region(self.workers * LIST)
        strands = Region(STRAND_MEMORY)
        layout, base = Chunk.layout, number * CHUNK_STRIDE
        buffer.write(ALIGN, head)
        chunks.set_i64(base + layout.offset("buffer"), buffer.address + ALIGN)
        chunks.set_i64(base + layout.offset("burst"), burst.address)
        chunks.set_i64(base + layout.offset("have"), len(head))
        chunks.set_i64(base + layout.offset("verdicts"), verdicts.address)
        chunks.set_i64(base + layout.offset("lists"), lists.address)
        chunks.set_i64(base + layout.offset("strands"), strands.address)
        return buffer, burst, verdicts, lists, strands

    def _drain(self) -> None:
        """Hand digests over. A handler that fails stops the run; no worker dies of it, which others may wait for."""
        if self._digests:
            with self._draining:
                for digest in self._digests:
                    try:
                        digest.drain()
                    except Exception as error:
                        self._failure = error
                        self._stop.set_i64(0, 1)
