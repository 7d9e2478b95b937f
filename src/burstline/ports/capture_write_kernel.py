"""The compiled capture writer: packets of a burst into a buffer, the buffer into the file when it is full."""

from __future__ import annotations

from burstline.native.memory import copy, external, load32, store16, store32, store64
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.ports import capture_format as form
from burstline.ports.capture_file import Interface
from burstline.ports.capture_sink import BUFFER, MIXED_LINKTYPES, OUT_OF_TIME, Sink

write = external("write", 3)
errno_location = external("__errno_location", 0)
interface_at = reference(Interface)
INTERFACE_SIZE = Interface.layout.size
EINTR = 4
DESCRIPTION = 32  # bytes of the interface description that is written


def flush(sink: Sink) -> None:
    """Write the buffer, which holds whole packets; what is in the file then stays, whatever fails later."""
    done = 0
    while done < sink.used and sink.fault == 0:
        wrote = write(sink.fd, sink.buffer + done, sink.used - done)
        if wrote < 0:
            error = load32(errno_location())
            if error != EINTR:
                sink.fault = error
        else:
            done += wrote
    if sink.fault == 0:
        sink.kept_size += sink.used
        sink.kept_packets = sink.packets
        sink.kept_bytes = sink.bytes
    sink.used = 0


def reserve(sink: Sink, size: int) -> int:
    """Address of `size` bytes in the buffer, which is larger than any packet."""
    if sink.used + size > BUFFER:
        flush(sink)
    address = sink.buffer + sink.used
    sink.used += size
    return address


def describe(sink: Sink, linktype: int) -> None:
    """NG "Interface Description Block": nanoseconds, packets of any size."""
    block = reserve(sink, DESCRIPTION)
    store32(block, form.INTERFACE_DESCRIPTION)
    store32(block + 4, DESCRIPTION)
    store16(block + 8, linktype)
    store16(block + 10, 0)
    store32(block + 12, 0)
    store16(block + 16, form.IF_TSRESOL)
    store16(block + 18, 1)
    store32(block + 20, 9)
    store32(block + 24, form.OPTION_END)
    store32(block + 28, DESCRIPTION)
    sink.described += 1


def write_pcapng(sink: Sink, interfaces: int, burst: BurstColumns, i: int) -> None:
    """NG "Enhanced Packet Block"; `interfaces` is the table of the source's interfaces, for their link types."""
    number, captured, time = burst.port[i], burst.captured[i], burst.time[i]
    while sink.described <= number:
        describe(sink, interface_at(interfaces + sink.described * INTERFACE_SIZE).linktype)
    padding = -captured & 3
    size = form.BLOCK_MIN + form.ENHANCED_BODY + captured + padding
    put_enhanced(reserve(sink, size), size, number, time, captured, burst.length[i], burst.data[i])
    sink.packets += 1
    sink.bytes += burst.length[i]


def put_enhanced(block: int, size: int, number: int, time: int, captured: int, length: int, data: int) -> None:
    """A block of `size` bytes at an address."""
    store32(block, form.ENHANCED_PACKET)
    store32(block + 4, size)
    store32(block + 8, number)
    store32(block + 12, time >> 32)
    store32(block + 16, time)
    store32(block + 20, captured)
    store32(block + size - 8, 0)  # the padding, and with no bytes captured the length, written next
    store32(block + 24, length)
    copy(block + 28, data, captured)
    store32(block + size - 4, size)


def write_pcap(sink: Sink, interfaces: int, burst: BurstColumns, i: int) -> None:
    """A record of draft-ietf-opsawg-pcap; all packets must have one link type."""
    captured, time = burst.captured[i], burst.time[i]
    linktype = interface_at(interfaces + burst.port[i] * INTERFACE_SIZE).linktype
    seconds = time // 1_000_000_000
    if sink.linktype < 0:
        start_pcap(sink, linktype)
    if sink.fault == 0 and sink.linktype != linktype:
        sink.fault = MIXED_LINKTYPES
    if sink.fault == 0 and (seconds < 0 or seconds >= 1 << 32):
        sink.fault = OUT_OF_TIME
    if sink.fault != 0:
        return
    put_record(reserve(sink, form.PCAP_RECORD + captured), time, captured, burst.length[i], burst.data[i])
    sink.packets += 1
    sink.bytes += burst.length[i]


def put_record(record: int, time: int, captured: int, length: int, data: int) -> None:
    """A record at an address."""
    store32(record, time // 1_000_000_000)
    store32(record + 4, time % 1_000_000_000)
    store32(record + 8, captured)
    store32(record + 12, length)
    copy(record + form.PCAP_RECORD, data, captured)


def start_pcap(sink: Sink, linktype: int) -> None:
    """A little-endian header with nanoseconds; the snap length allows whatever the reader allows."""
    header = reserve(sink, form.PCAP_HEADER)
    store32(header, form.PCAP_MAGIC_NS)
    store32(header + 4, 2 | 4 << 16)
    store64(header + 8, 0)
    store32(header + 16, form.MAX_CAPTURED)
    store32(header + 20, linktype)
    sink.linktype = linktype
