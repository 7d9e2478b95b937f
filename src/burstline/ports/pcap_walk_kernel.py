"""The compiled walk over the records of a pcap file (draft-ietf-opsawg-pcap)."""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import (
    load32,
    swap32,
)
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.ports import capture_format as form
from burstline.ports.capture_file import Capture, Chunk, Interface
from burstline.ports.capture_read_kernel import fill, stop
from burstline.ports.link_layer import link_of

interface_at = reference(Interface)

CUT_RECORD, CAPTURED = int(form.Fault.CUT_RECORD), int(form.Fault.CAPTURED)


Walk = Callable[[Capture, Chunk, BurstColumns, int, int, int], int]


def pcap_walker(*, timed: bool, numbered: bool, linked: bool) -> Walk:
    """Of a chunk from `at` to `limit`; returns where it ends. `time`, `port` and `link` are filled if they are asked
    for."""

    def walk_pcap(capture: Capture, chunk: Chunk, burst: BurstColumns, at: int, limit: int, number: int) -> int:
        """draft-ietf-opsawg-pcap: seconds, fraction, captured length, length on the wire, then the packet."""
        n = 0
        buffer, swapped, unit = chunk.buffer, capture.swapped, capture.unit
        link = link_of(interface_at(capture.interfaces).linktype)
        have = chunk.have
        while at < limit:
            if at + 16 > have:
                complete = fill(capture, chunk, at + 16)
                have = chunk.have
                if not complete:
                    if at < have:
                        stop(capture, CUT_RECORD, chunk.base + at, 0)
                    capture.last = number
                    break
            record = buffer + at
            seconds, fraction = load32(record), load32(record + 4)
            captured, length = load32(record + 8), load32(record + 12)
            if swapped:
                seconds, fraction, captured, length = (
                    swap32(seconds),
                    swap32(fraction),
                    swap32(captured),
                    swap32(length),
                )
            if captured > form.MAX_CAPTURED:
                stop(capture, CAPTURED, chunk.base + at, captured)
                capture.last = number
                break
            after = at + 16 + captured
            if after > have:
                complete = fill(capture, chunk, after)
                have = chunk.have
                if not complete:
                    stop(capture, CUT_RECORD, chunk.base + at, 0)
                    capture.last = number
                    break
            burst.data[n] = record + 16
            burst.captured[n] = captured
            burst.length[n] = length
            if timed:
                burst.time[n] = seconds * 1_000_000_000 + fraction * unit
            if numbered:
                burst.port[n] = 0
            if linked:
                burst.link[n] = link
            n += 1
            at = after
        chunk.packets = n
        return at

    return walk_pcap
