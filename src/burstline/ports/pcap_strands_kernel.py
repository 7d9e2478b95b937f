"""A guess that is always checked: where the records of a pcap chunk start, found in many places at once.

A walk from record to record is a chain of cache misses. A chunk is therefore cut into strands; in each, a record is
looked for by what its header must look like, and all strands are walked side by side, so that their misses overlap.
Only where each strand ends exactly where the next one was found to start is the guess taken; else the chunk is walked
from its first record on, as if nothing had been guessed. It touches no line but those with headers.
"""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.build import apart
from burstline.native.memory import load32, load64, prefetch, store32, store64, swap32
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.ports import capture_format as form
from burstline.ports.capture_file import STRAND, STRAND_PACKETS, STRANDS, Capture, Chunk, Interface
from burstline.ports.capture_read_kernel import fill
from burstline.ports.link_layer import link_of

interface_at = reference(Interface)
Parse = Callable[[BurstColumns, int, int, int], None]

# One strand's place in memory: where it starts (-1: not found), where its walk stands, how many records it has, and
# whether it came to its end. The offsets of its records follow behind all strands.
START, AT, COUNT, DONE, SIZE = 0, 8, 16, 24, 64
OFFSETS = STRANDS * SIZE
YEAR = 366 * 86400  # seconds: records of one capture are not further apart, or nothing is guessed
USUAL = 1 << 18  # captured bytes, at most, of a record that a guess may start with
NEAR = 8  # packets to prefetch ahead from the second-level cache
GROUP = 32  # packets that are parsed together, at least
HEADERS = 72  # bytes from a record's start to the end of its packet's headers, as a rule


def read(address: int, swapped: int) -> int:
    return swap32(load32(address)) if swapped else load32(address)


def find_record(capture: Capture, chunk: Chunk, at: int, limit: int) -> int:
    """The first place from `at` on that looks like a record's header, or -1."""
    swapped, around, fractions = capture.swapped, capture.seconds, 1_000_000_000 // capture.unit
    while at < limit:
        record = chunk.buffer + at
        captured = read(record + 8, swapped)
        if captured > 0 and captured <= USUAL and read(record + 4, swapped) < fractions:
            length, apart = read(record + 12, swapped), read(record, swapped) - around
            if captured <= length and length <= form.MAX_CAPTURED and apart > -YEAR and apart < YEAR:
                return at
        at += 1
    return -1


@apart
def walk_strands(capture: Capture, chunk: Chunk, number: int) -> None:
    """Guess all records of a chunk, before its turn has come."""
    have, strands = chunk.have, chunk.strands
    for k in range(STRANDS):
        prefetch(chunk.buffer + k * STRAND)
        prefetch(chunk.buffer + k * STRAND + 64)
        prefetch(chunk.buffer + k * STRAND + 128)
        prefetch(chunk.buffer + k * STRAND + 192)
    for k in range(STRANDS):
        strand = strands + k * SIZE
        first = form.PCAP_HEADER if number == 0 and k == 0 else k * STRAND
        start = find_record(capture, chunk, first, min((k + 1) * STRAND, have - form.PCAP_RECORD))
        store64(strand + START, start)
        store64(strand + AT, start)
        store64(strand + COUNT, 0)
        store64(strand + DONE, 0)
    going = 1
    while going:
        going = 0
        for k in range(STRANDS):
            strand = strands + k * SIZE
            at = load64(strand + AT)
            if at >= 0 and at < (k + 1) * STRAND:
                after = record_end(capture, chunk, at)
                store64(strand + AT, after)
                if after >= 0:
                    count = load64(strand + COUNT)
                    store32(strands + OFFSETS + 4 * (k * STRAND_PACKETS + count), at)
                    store64(strand + COUNT, count + 1)
                    prefetch(chunk.buffer + after)  # seen again when all other strands had their turn
                    prefetch(chunk.buffer + after + HEADERS)
                    going = 1
                    if after >= (k + 1) * STRAND:
                        store64(strand + DONE, 1)


def record_end(capture: Capture, chunk: Chunk, at: int) -> int:
    """Where the record at `at` ends, or -1 when it is none, or not there to its end."""
    if at + form.PCAP_RECORD > chunk.have and not fill(capture, chunk, at + form.PCAP_RECORD):
        return -1
    captured = read(chunk.buffer + at + 8, capture.swapped)
    after = at + form.PCAP_RECORD + captured
    if captured > form.MAX_CAPTURED or (after > chunk.have and not fill(capture, chunk, after)):
        return -1
    return after


def check_strands(chunk: Chunk, at: int) -> int:
    """Whether the guess holds for a chunk whose first record is at `at`: where the chunk's last one ends, or -1."""
    packets = 0
    for k in range(STRANDS):
        strand = chunk.strands + k * SIZE
        if at >= (k + 1) * STRAND:
            store64(strand + COUNT, 0)  # a record from before reaches over all of it
        elif load64(strand + START) == at and load64(strand + DONE) == 1:
            packets += load64(strand + COUNT)
            at = load64(strand + AT)
        else:
            return -1
    chunk.packets = packets
    return at


def strand_filler(
    parse: Parse, *, timed: bool, numbered: bool, linked: bool
) -> Callable[[Capture, Chunk, BurstColumns], None]:
    """Fills the burst's columns from a guess that held, and every so many packets, whose first bytes are still at hand,
    calls `parse(burst, first packet, count, link layer)`. `time` is filled if `timed`, `port` if `numbered`, and `link`
    if `linked`."""

    @apart
    def fill_columns(capture: Capture, chunk: Chunk, burst: BurstColumns) -> None:
        swapped, unit = capture.swapped, capture.unit
        link = link_of(interface_at(capture.interfaces).linktype)
        n, parsed, seconds = 0, 0, 0
        for k in range(STRANDS):
            offsets = chunk.strands + OFFSETS + 4 * k * STRAND_PACKETS
            for i in range(load64(chunk.strands + k * SIZE + COUNT)):
                coming = chunk.buffer + load32(offsets + 4 * (i + NEAR))
                prefetch(coming)
                prefetch(coming + HEADERS)
                record = chunk.buffer + load32(offsets + 4 * i)
                seconds = read(record, swapped)
                burst.data[n] = record + form.PCAP_RECORD
                burst.captured[n] = read(record + 8, swapped)
                burst.length[n] = read(record + 12, swapped)
                if numbered:
                    burst.port[n] = 0
                if linked:
                    burst.link[n] = link
                if timed:
                    burst.time[n] = seconds * 1_000_000_000 + read(record + 4, swapped) * unit
                n += 1
            if n - parsed >= GROUP or k == STRANDS - 1:
                parse(burst, parsed, n - parsed, link)
                parsed = n
        capture.seconds = seconds  # by any worker at any time: it is only what guesses go by

    return fill_columns
