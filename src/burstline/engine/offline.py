"""Running a pipeline over a capture file with compiled code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from burstline.engine.carry import Swap
from burstline.engine.exports import exports_wait
from burstline.engine.file_making import FileMaking
from burstline.engine.program import Program, prepare
from burstline.engine.publisher import Publisher
from burstline.engine.report import Report
from burstline.engine.tally import add_up, close_sink
from burstline.engine.threads import Team, process_age
from burstline.engine.versions import Versions, swap
from burstline.engine.worker import DRAIN_DIGESTS, FINISHED, FileWorker
from burstline.packet.burst import Burst
from burstline.packet.machine import USUAL_PORTS, TunnelPorts
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_file import (
    BUFFER,
    CHUNK_PACKETS,
    CHUNK_STRIDE,
    LIST,
    STRAND_MEMORY,
    VERDICTS,
    Chunk,
    OpenCapture,
)
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.ports.capture_writer import format_for
from burstline.ports.output import check_output
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.engine.live_view import LiveView
    from burstline.engine.service.service import Service

CAPACITY = CHUNK_PACKETS + 64  # the prefetch looks a little past the last packet
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
        publisher: Publisher | None = None,
        buffers: int | None = None,
        pinned: bool = True,
        prepare: Callable[..., Program] = prepare,
    ) -> None:
        self.pipeline, self.path, self.out = pipeline, path, out
        self.workers, self.cores, self.duration, self.progress = workers, cores, duration, progress
        self.prepare = prepare  # engine/program.py's, or one that remembers what that made
        self.pinned = pinned  # False: workers are where the system puts them, beside those of other processes
        self.dispatch, self.tunnel_ports, self.publisher = dispatch, tunnel_ports, publisher
        self.report = Report(path, "compiled", workers)
        self.count_edges = False  # packets on each way out of each stage, for the report
        self.service: Service | None = None
        self.view: LiveView | None = None  # which only live runs have
        self._stop = Region(64)
        self._versions: Versions | None = None
        self._chunks: Region | None = None
        self._contexts: list[Block] = []
        self._making = FileMaking(workers, workers * (1 if workers == 1 else 2), CAPACITY, buffers)

    def run(self) -> Report:
        """Process the capture to its end, or until it is stopped. A fault of the file or the sink is raised when all
        before it has been processed, written and counted: `report` is complete in any case."""
        check_output(self.out, self.path)
        for state in self.pipeline.state:
            state.reset()
        capture = OpenCapture(self.path)
        try:
            compile = partial(
                self._prepared,
                mode="file",
                capacity=CAPACITY,
                workers=self.workers,
                dispatch=self.dispatch,
                source="pcapng" if capture.block.get("is_pcapng") else "pcap",
                sink=format_for(self.out) if self.out else "",
                tunnel_ports=self.tunnel_ports,
                edges=self.count_edges,
            )
            versions = Versions(
                self.pipeline, compile, self.report, self.stop, capture.swap_announced, capture.swap_settled,
                self.publisher,
            )  # fmt: skip
            self.report.dispatch = versions.program.dispatch
            if not versions.program.plan["writes"]:
                capture.map()
            sink = CaptureSink(self.out) if self.out else None
            self._process(versions, capture, sink)
        finally:
            capture.close()
        return self.report

    def stop(self) -> None:
        """End the run after the chunks that were read. Any thread may call it."""
        self.report.stopped = True
        self._stop.set_i64(0, 1)

    def swap(self, pipeline: Pipeline) -> Swap:
        """Go on with another pipeline, compiled in the calling thread: all workers go over at the same packet of the
        file. Returns when they have; raises what compiling raises, and then the old one runs on."""
        return swap(self._versions, pipeline)

    def swap_stage(self, name: str, function: Callable[[Any], Any]) -> Swap:
        """Go on with another function for the stage of this name; as `swap`."""
        return self.swap(self.pipeline.replace(name, function))

    @property
    def is_running(self) -> bool:
        """Whether there is something to swap."""
        return self._versions is not None and self._versions.is_running

    @property
    def running(self) -> Pipeline:
        """The pipeline that packets go through now."""
        return self._versions.pipeline if self._versions is not None else self.pipeline

    def rehearse(self) -> None:
        """Get ready for a first swap while the pipeline runs: import what compiles, and lower what runs."""
        if self._versions is not None:
            self._versions.rehearse()

    def _prepared(self, pipeline: Pipeline, **plan: Any) -> Program:
        """Compiled, and with room for the packets that its stages make. Chunks may wait to be written that a version
        before it made packets of."""
        program = self.prepare(pipeline, makes=self._making.pool is not None, **plan)
        exports_wait(pipeline)
        if program.plan["makes"] and self._chunks is not None:
            self._making.provide(self._chunks, self._contexts)
        return program

    def _process(self, versions: Versions, capture: OpenCapture, sink: CaptureSink | None) -> None:
        capture.block.set(stop=self._stop.address)
        slots = 1 if self.workers == 1 else 2
        chunks = Region(self.workers * slots * CHUNK_STRIDE)
        memory = [self._chunk(chunks, k, capture.head if k == 0 else b"") for k in range(self.workers * slots)]
        contexts = []
        for index in range(self.workers):
            context = Block(FileWorker.layout, 128)
            context.set(
                index=index, workers=self.workers, stop=self._stop.address, slots=slots,
                has_sink=int(sink is not None), sink=sink.block.address if sink else 0, capture=capture.block.address,
                chunks=chunks.address, budget=1, next_read=index, next_write=index,
            )  # fmt: skip
            contexts.append(context)
        self._chunks, self._contexts = chunks, contexts
        if versions.program.plan["makes"]:
            self._making.provide(chunks, contexts)

        def work(index: int) -> None:
            context = contexts[index]
            try:
                while (reason := versions.work(index)) != FINISHED:
                    if self.report.first_packet_seconds is None:
                        self.report.first_packet_seconds = process_age()
                    if reason == DRAIN_DIGESTS:
                        versions.drain()
                    else:
                        context.set(budget=1 << 62)
            finally:
                versions.ended(index)

        def tick() -> None:
            versions.drain()
            if self.progress:
                self.progress(capture.position, capture.size, sum(c.get("packets_in") for c in contexts))

        team = Team(self.workers, work, self.cores, self.pinned)
        versions.link(contexts, cores=team.cores)
        self._versions = versions
        started = time.perf_counter()
        try:
            with self.service.working(versions) if self.service else nullcontext():
                team.run(self.stop, tick, self.duration, lambda: 0.1)
        finally:
            self.report.seconds = time.perf_counter() - started
            self.report.buffers = self._making.usage()
            add_up(self.report, contexts, versions.close())
            self.pipeline = versions.pipeline
            if sink:
                close_sink(self.report, sink, (capture.linktypes() or [LINKTYPE_ETHERNET])[0])
            del memory
        if versions.failure is not None:
            raise versions.failure
        self._making.check(self.report)
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
