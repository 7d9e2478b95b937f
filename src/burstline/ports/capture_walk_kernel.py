"""The compiled capture reader: from a chunk of a pcap or pcapng file to the packets of a burst.

A chunk owns the records that start in it. Chunks of a regular file are read by whoever gets to them, in parallel; which
records are in them is settled in turn, because only the end of one chunk tells where the next one's records start.
"""

from __future__ import annotations

from collections.abc import Callable

from burstline.packet.burst import BurstColumns
from burstline.ports.capture_file import CHUNK, Capture, Chunk
from burstline.ports.capture_read_kernel import more, pull_in, read_chunk
from burstline.ports.link_layer import link_of
from burstline.ports.pcap_strands_kernel import check_strands, interface_at, strand_filler, walk_strands
from burstline.ports.pcap_walk_kernel import pcap_walker
from burstline.ports.pcapng_walk_kernel import pcapng_walker

Parse = Callable[[BurstColumns, int, int, int], None]


def walker(
    is_pcapng: bool, shared: bool, *, timed: bool, numbered: bool, linked: bool
) -> Callable[[Capture, Chunk, BurstColumns, int], None]:
    """The walk over the records of one of the two formats. Of pcap, `time`, `port` and `link` are filled on request."""
    walk_pcap = pcap_walker(timed=timed, numbered=numbered, linked=linked)
    walk_records = pcapng_walker(shared) if is_pcapng else walk_pcap

    def walk(capture: Capture, chunk: Chunk, burst: BurstColumns, number: int) -> None:
        """Find the packets of chunk `number`, in turn; sets `capture.last` when it is the last one."""
        at = 0
        limit = CHUNK
        end = -1
        if capture.seekable:
            at = capture.next_offset - chunk.base
            end = -1 if is_pcapng else check_strands(chunk, at)
        else:
            chunk.base = capture.stream_offset
            more(capture, chunk, CHUNK - chunk.have)
            limit = max(chunk.have, 1)
        chunk.guessed = end >= 0
        if end < 0:
            end = walk_records(capture, chunk, burst, at, limit, number)
        capture.next_offset = chunk.base + end
        capture.stream_offset = chunk.base + chunk.have

    return walk


def prepare(is_pcapng: bool, shared: bool) -> Callable[[Capture, Chunk, int], None]:
    """Reads a chunk of a regular file and does what can be done before its turn has come."""

    def read(capture: Capture, chunk: Chunk, number: int) -> None:
        read_chunk(capture, chunk, number)
        if not is_pcapng:
            walk_strands(capture, chunk, number)
        elif shared and capture.map != 0:
            pull_in(chunk)

    return read


def filler(
    is_pcapng: bool, parse: Parse, *, timed: bool, numbered: bool, linked: bool
) -> Callable[[Capture, Chunk, BurstColumns], None]:
    """Fills and parses a chunk's packets, after its turn, by `parse(burst, first packet, count, link layer)`; who reads
    `time`, `port` and `link` of a pcap file says so."""
    fill_columns = strand_filler(parse, timed=timed, numbered=numbered, linked=linked)

    def fill(capture: Capture, chunk: Chunk, burst: BurstColumns) -> None:
        if not is_pcapng and chunk.guessed != 0:
            fill_columns(capture, chunk, burst)
        else:
            link = link_of(interface_at(capture.interfaces).linktype)  # of pcap; in pcapng each packet has its own
            parse(burst, 0, chunk.packets, link)

    return fill
