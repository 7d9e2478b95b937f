"""The compiled loop of `burstline filter`: walk a chunk of a capture, match its packets, write those that are kept."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from burstline.engine.filter_job import AGAIN, FINISHED, FilterJob
from burstline.filter.native import dispatcher
from burstline.native.build import apart
from burstline.native.memory import load_acquire, store_release
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.ports.capture_file import Capture, Chunk
from burstline.ports.capture_sink import Sink
from burstline.ports.capture_walk_kernel import filler, prepare, walker
from burstline.ports.capture_write_kernel import write_pcap, write_pcapng

capture_at, chunk_at, sink_at = reference(Capture), reference(Chunk), reference(Sink)


def filter_loop(
    functions: dict[int, FunctionType], source: str, sink: str, burst_at: Any
) -> Callable[[FilterJob], int]:
    """The loop for a source and a sink of one format each; without a sink, packets are only counted."""
    is_pcapng = source == "pcapng"
    matches = dispatcher(functions)
    write_packet = write_pcapng if sink == "pcapng" else write_pcap
    has_sink = sink != ""

    @apart
    def match(burst: BurstColumns, first: int, count: int, link: int) -> None:
        for i in range(first, first + count):
            layer = burst.link[i] if is_pcapng else link
            burst.decided[i] = matches(layer, burst.data[i], burst.captured[i], burst.length[i])

    read = prepare(is_pcapng, False)
    walk = walker(is_pcapng, False, timed=has_sink, numbered=has_sink, linked=False)
    fill = filler(is_pcapng, match, timed=has_sink, numbered=has_sink, linked=False)

    def keep(job: FilterJob, chunk: Chunk, burst: BurstColumns) -> None:
        to, interfaces, invert = sink_at(job.sink), capture_at(job.capture).interfaces, job.invert
        for i in range(chunk.packets):
            length = burst.length[i]
            job.packets_in += 1
            job.bytes_in += length
            if burst.decided[i] != invert:
                job.packets_out += 1
                job.bytes_out += length
                if has_sink:
                    write_packet(to, interfaces, burst, i)
                if job.packets_out == job.most:
                    store_release(job.stop, 1)
                    break
        if has_sink and to.fault != 0:
            store_release(job.stop, 1)

    def filter_chunks(job: FilterJob) -> int:
        """Up to `budget` chunks."""
        capture, chunk = capture_at(job.capture), chunk_at(job.chunk)
        burst = burst_at(chunk.burst)
        for _ in range(job.budget):
            if load_acquire(job.stop) != 0 or job.number > capture.last:
                return FINISHED
            if capture.seekable and chunk.have == 0:
                read(capture, chunk, job.number)
            walk(capture, chunk, burst, job.number)
            fill(capture, chunk, burst)
            keep(job, chunk, burst)
            chunk.have = 0
            chunk.packets = 0
            job.number += 1
        return AGAIN

    return filter_chunks
