"""The compiled capture reader: from a chunk of a pcap or pcapng file to the packets of a burst.

A chunk owns the records that start in it. Chunks of a regular file are read by whoever gets to them, in parallel; the
walk from record to record goes in turn, because only the end of one chunk tells where the next one's records start.
"""

from __future__ import annotations

from collections.abc import Callable

from burstline.packet.burst import BurstColumns
from burstline.ports.capture_file import CHUNK, Capture, Chunk
from burstline.ports.capture_read_kernel import more
from burstline.ports.pcap_walk_kernel import pcap_walker
from burstline.ports.pcapng_walk_kernel import pcapng_walker

Each = Callable[[BurstColumns, int], None]


def walker(is_pcapng: bool, shared: bool, each: Each) -> Callable[[Capture, Chunk, BurstColumns, int], None]:
    """The walk over the records of one of the two formats.

    A worker that has the file to itself calls `each(burst, packet)` as it goes: its work hides the prefetches of the
    bytes ahead. Where others wait for the walk, it does nothing besides.
    """
    walk_records = pcapng_walker(shared, each) if is_pcapng else pcap_walker(shared, each)

    def walk(capture: Capture, chunk: Chunk, burst: BurstColumns, number: int) -> None:
        """Find the packets of chunk `number`, in turn; sets `capture.last` when it is the last one."""
        at = 0
        limit = CHUNK
        if capture.seekable:
            at = capture.next_offset - chunk.base
        else:
            chunk.base = capture.stream_offset
            more(capture, chunk, CHUNK - chunk.have)
            limit = max(chunk.have, 1)
        at = walk_records(capture, chunk, burst, at, limit, number)
        capture.next_offset = chunk.base + at
        capture.stream_offset = chunk.base + chunk.have

    return walk
