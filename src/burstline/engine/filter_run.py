"""Running a pcap filter over a capture file, from file to file, without a pipeline between."""

from __future__ import annotations

import time
from collections.abc import Callable

from burstline.engine.filter_job import AGAIN, FilterJob
from burstline.engine.filter_program import FilterCode, filter_code
from burstline.engine.offline import ALIGN, CAPACITY
from burstline.engine.report import Count, Report
from burstline.filter.program import LINKS, FilterProgram
from burstline.packet.burst import Burst
from burstline.ports.capture_file import BUFFER, CHUNK_STRIDE, STRAND_MEMORY, Chunk, OpenCapture
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.ports.capture_writer import format_for
from burstline.ports.link_layer import link_of
from burstline.ports.output import check_output
from burstline.state.region import Block, Region

CHUNKS = 256  # at once, between looks at the clock and for Ctrl-C
UNMATCHED = "filter"  # what packets that are not kept are counted under
Progress = Callable[[int, "int | None", int], None]


class FilterRun:
    """One run: `most` ends it after so many packets, `invert` keeps the others."""

    def __init__(
        self,
        program: FilterProgram,
        path: str,
        out: str | None,
        *,
        most: int = 0,
        invert: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self.program, self.path, self.out, self.most, self.invert = program, path, out, most, invert
        self.progress = progress
        self.report = Report(path, "compiled", 1)

    def run(self) -> Report:
        """Filter the capture to its end. A fault of a file is raised when all before it has been written and counted,
        as `FilterError` is for packets of a link type for which the filter has no meaning."""
        check_output(self.out, self.path)
        capture = OpenCapture(self.path)
        try:
            is_pcapng = bool(capture.block.get("is_pcapng"))
            if not is_pcapng:
                self._check(capture)
            burst = Burst(CAPACITY)
            links = LINKS if is_pcapng else (link_of(capture.linktypes()[0]),)
            sink = format_for(self.out) if self.out else ""
            code = FilterCode(filter_code(self.program, links, "pcapng" if is_pcapng else "pcap", sink, burst))
            capture.map()
            self._process(code, capture, CaptureSink(self.out) if self.out else None, burst)
        finally:
            capture.close()
        return self.report

    def _check(self, capture: OpenCapture) -> None:
        for linktype in capture.linktypes():
            if problem := self.program.problems.get(link_of(linktype)):
                raise problem

    def _process(self, code: FilterCode, capture: OpenCapture, sink: CaptureSink | None, burst: Burst) -> None:
        stop, chunk = Region(64), Region(CHUNK_STRIDE)
        buffer, columns, strands = Region(ALIGN + BUFFER), Region(burst.size), Region(STRAND_MEMORY)
        buffer.write(ALIGN, capture.head)
        for name, value in (
            ("buffer", buffer.address + ALIGN),
            ("burst", columns.address),
            ("have", len(capture.head)),
            ("strands", strands.address),
        ):
            chunk.set_i64(Chunk.layout.offset(name), value)
        capture.block.set(stop=stop.address)
        job = Block(FilterJob.layout)
        job.set(
            capture=capture.block.address, chunk=chunk.address, sink=sink.block.address if sink else 0,
            stop=stop.address, budget=CHUNKS, invert=int(self.invert), most=self.most,
        )  # fmt: skip
        started = time.perf_counter()
        try:
            while code.run(job.address) == AGAIN:
                if self.progress:
                    self.progress(capture.position, capture.size, job.get("packets_in"))
        finally:
            self._report(job, time.perf_counter() - started)
            if sink:
                linktype = (capture.linktypes() or [LINKTYPE_ETHERNET])[0]
                sink.close(linktype)
        if not stop.i64(0):
            capture.finish()
        self._check(capture)

    def _report(self, job: Block, seconds: float) -> None:
        report = self.report
        report.seconds = seconds
        report.received = Count(job.get("packets_in"), job.get("bytes_in"))
        report.sent = Count(job.get("packets_out"), job.get("bytes_out"))
        left = Count(report.received.packets - report.sent.packets, report.received.bytes - report.sent.bytes)
        if left.packets:
            report.drops[UNMATCHED] = left
