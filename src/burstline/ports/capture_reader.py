"""A streaming reader of pcap and pcapng in plain Python: `--interpret` reads with it, and it checks the compiled one.

It reads each record once and in order, so standard input will do, and stops at the first fault with a `CaptureError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import BinaryIO, NamedTuple

from burstline.errors import BurstlineError
from burstline.ports import capture_format as form
from burstline.ports.capture_format import CaptureError, Fault, Resolution


class CapturedPacket(NamedTuple):
    """One packet of a capture file."""

    data: bytearray  # the captured bytes, link layer first
    length: int  # bytes on the wire, as the file has it
    time: int  # nanoseconds since the epoch, exact (rounded down where the file is finer); 0 when it has none
    interface: int = 0  # number of the interface's description, counted from 0 over all sections of the file
    linktype: int = form.LINKTYPE_ETHERNET


class _Order:
    """The numbers of one byte order."""

    def __init__(self, sign: str) -> None:
        self.u32 = Struct(sign + "I")
        self.i64 = Struct(sign + "q")
        self.pcap_header = Struct(sign + "IHHIIII")
        self.pcap_record = Struct(sign + "IIII")
        self.block = Struct(sign + "II")
        self.section = Struct(sign + "IHHq")
        self.interface = Struct(sign + "HHI")
        self.option = Struct(sign + "HH")
        self.enhanced = Struct(sign + "IIIII")
        self.obsolete = Struct(sign + "HHIIII")

    def number(self, data: bytes | bytearray, at: int = 0) -> int:
        return int(self.u32.unpack_from(data, at)[0])


_LITTLE, _BIG = _Order("<"), _Order(">")


class _Interface(NamedTuple):
    linktype: int
    snaplen: int  # 0: no limit
    resolution: Resolution


class _Input:
    """A stream that knows how far it was read, and that reads as many bytes as it is asked for while there are any."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name
        self.offset = 0

    def upto(self, count: int) -> bytearray:
        """The next `count` bytes; fewer only at the end of the stream."""
        data = bytearray()
        try:
            while len(data) < count:
                piece = self._stream.read(count - len(data))
                if not piece:
                    break
                data += piece
        except OSError as error:
            raise BurstlineError(f"cannot read {self.name}: {error.strerror or error}") from error
        self.offset += len(data)
        return data

    def rest(self, start: int, count: int, fault: Fault = Fault.CUT_RECORD) -> bytearray:
        """The next `count` bytes of the record that begins at `start`."""
        data = self.upto(count)
        if len(data) < count:
            raise CaptureError(self.name, start, fault)
        return data

    def fault(self, start: int, fault: Fault, value: int = 0) -> CaptureError:
        return CaptureError(self.name, start, fault, value)


def read_capture(stream: BinaryIO, name: str) -> Iterator[CapturedPacket]:
    """The packets of an uncompressed pcap or pcapng stream, in the file's order.

    Raises `CaptureError` where the stream ends early or holds garbage, after all packets before that point; `name` is
    what messages call the file.
    """
    source = _Input(stream, name)
    head = source.upto(4)
    if not head:
        raise source.fault(0, Fault.EMPTY)
    if len(head) < 4:
        raise source.fault(0, Fault.CUT_HEADER)
    if _BIG.number(head) == form.SECTION_HEADER:
        yield from _Pcapng(source).packets(head)
        return
    for order in (_LITTLE, _BIG):
        if order.number(head) in (form.PCAP_MAGIC_US, form.PCAP_MAGIC_NS):
            yield from _pcap(source, head, order)
            return
    raise source.fault(0, Fault.NOT_A_CAPTURE, _BIG.number(head))


def _pcap(source: _Input, head: bytearray, order: _Order) -> Iterator[CapturedPacket]:
    """draft-ietf-opsawg-pcap: a file header, then records to the end of the file."""
    head += source.rest(0, form.PCAP_HEADER - len(head), Fault.CUT_HEADER)
    magic, major, _, _, _, _, linktype = order.pcap_header.unpack(head)
    if major != form.PCAP_VERSION[0]:
        raise source.fault(0, Fault.VERSION, major)
    linktype &= form.PCAP_LINKTYPE_MASK
    unit = 1 if magic == form.PCAP_MAGIC_NS else 1000
    while True:
        start = source.offset
        record = source.upto(form.PCAP_RECORD)
        if not record:
            return
        if len(record) < form.PCAP_RECORD:
            raise source.fault(start, Fault.CUT_RECORD)
        seconds, fraction, captured, length = order.pcap_record.unpack(record)
        if captured > form.MAX_CAPTURED:
            raise source.fault(start, Fault.CAPTURED, captured)
        data = source.rest(start, captured)
        yield CapturedPacket(data, length, seconds * 1_000_000_000 + fraction * unit, 0, linktype)


class _Block(NamedTuple):
    kind: int
    start: int  # offset in the file
    order: _Order
    body: bytearray

    @property
    def length(self) -> int:
        return len(self.body) + form.BLOCK_MIN


class _Pcapng:
    """draft-ietf-opsawg-pcapng: blocks; each section has its own byte order and its own interfaces."""

    def __init__(self, source: _Input) -> None:
        self._source = source
        self._order = _LITTLE
        self._interfaces: list[_Interface] = []
        self._first = 0  # the number, in the whole file, of this section's first interface

    def packets(self, head: bytearray) -> Iterator[CapturedPacket]:
        """The packets; `head` is what was read of the first block already."""
        read = {
            form.ENHANCED_PACKET: self._enhanced,
            form.OBSOLETE_PACKET: self._obsolete,
            form.SIMPLE_PACKET: self._simple,
        }
        start = 0
        while block := self._block(start, head):
            if block.kind == form.SECTION_HEADER:
                self._section(block)
            elif block.kind == form.INTERFACE_DESCRIPTION:
                self._interfaces.append(self._interface(block))
            elif block.kind in read:
                yield read[block.kind](block)
            start = self._source.offset
            head = bytearray()

    def _block(self, start: int, head: bytearray) -> _Block | None:
        source = self._source
        cut = Fault.CUT_RECORD if start else Fault.CUT_HEADER
        head += source.upto(8 - len(head))
        if not head:
            return None
        if len(head) < 8:
            raise source.fault(start, cut)
        kind = self._order.number(head)
        if kind == form.SECTION_HEADER:
            magic = source.rest(start, 4, cut)
            self._order = self._section_order(start, magic)
            head += magic
        order = self._order
        length = order.number(head, 4)
        if length % 4 or not len(head) + 4 <= length <= form.BLOCK_MAX:
            raise source.fault(start, Fault.BLOCK_LENGTH, length)
        body = head[8:] + source.rest(start, length - len(head), cut)
        if (trailer := order.number(body, length - 12)) != length:
            raise source.fault(start, Fault.BLOCK_TRAILER, trailer)
        return _Block(kind, start, order, body[:-4])

    def _section_order(self, start: int, magic: bytearray) -> _Order:
        for order in (_LITTLE, _BIG):
            if order.number(magic) == form.BYTE_ORDER_MAGIC:
                return order
        raise self._source.fault(start, Fault.BYTE_ORDER, _BIG.number(magic))

    def _holds(self, block: _Block, size: int) -> None:
        if len(block.body) < size:
            raise self._source.fault(block.start, Fault.BLOCK_SHORT, block.length)

    def _section(self, block: _Block) -> None:
        """NG "Section Header Block"; the section's length is not needed, since nothing is skipped."""
        self._holds(block, form.SECTION_BODY)
        major = block.order.section.unpack_from(block.body)[1]
        if major != form.PCAPNG_VERSION[0]:
            raise self._source.fault(block.start, Fault.VERSION, major)
        self._first += len(self._interfaces)
        self._interfaces = []

    def _interface(self, block: _Block) -> _Interface:
        """NG "Interface Description Block", with the options that say what its timestamps mean."""
        self._holds(block, form.INTERFACE_BODY)
        body = block.body
        linktype, _, snaplen = block.order.interface.unpack_from(body)
        tsresol, offset = form.DEFAULT_TSRESOL, 0
        at = form.INTERFACE_BODY
        while at < len(body):
            code, size = block.order.option.unpack_from(body, at)
            at += 4
            if code == form.OPTION_END:
                break
            wanted = {form.IF_TSRESOL: 1, form.IF_TSOFFSET: 8}.get(code, size)
            if at + size > len(body) or size != wanted:
                raise self._source.fault(block.start, Fault.OPTIONS)
            if code == form.IF_TSRESOL:
                tsresol = body[at]
            elif code == form.IF_TSOFFSET:
                offset = block.order.i64.unpack_from(body, at)[0]
            at += size + (-size % 4)
        return _Interface(linktype, snaplen, Resolution(form.ticks_a_second(tsresol), offset))

    def _enhanced(self, block: _Block) -> CapturedPacket:
        """NG "Enhanced Packet Block"."""
        self._holds(block, form.ENHANCED_BODY)
        number, high, low, captured, length = block.order.enhanced.unpack_from(block.body)
        return self._packet(block, number, high << 32 | low, captured, length)

    def _obsolete(self, block: _Block) -> CapturedPacket:
        """NG "Packet Block (obsolete!)": its interface has 16 bits, the other 16 count drops."""
        self._holds(block, form.OBSOLETE_BODY)
        number, _, high, low, captured, length = block.order.obsolete.unpack_from(block.body)
        return self._packet(block, number, high << 32 | low, captured, length)

    def _packet(self, block: _Block, number: int, stamp: int, captured: int, length: int) -> CapturedPacket:
        interface = self._described(block, number)
        data = self._captured(block, form.ENHANCED_BODY, captured)
        time = interface.resolution.nanoseconds(stamp)
        return CapturedPacket(data, length, time, self._first + number, interface.linktype)

    def _simple(self, block: _Block) -> CapturedPacket:
        """NG "Simple Packet Block": of the section's first interface, without a time, cut at that one's snaplen."""
        self._holds(block, form.SIMPLE_BODY)
        interface = self._described(block, 0)
        length = block.order.number(block.body)
        data = self._captured(block, form.SIMPLE_BODY, min(length, interface.snaplen or length))
        return CapturedPacket(data, length, 0, self._first, interface.linktype)

    def _described(self, block: _Block, number: int) -> _Interface:
        if number >= len(self._interfaces):
            raise self._source.fault(block.start, Fault.INTERFACE, number)
        return self._interfaces[number]

    def _captured(self, block: _Block, at: int, captured: int) -> bytearray:
        if captured > form.MAX_CAPTURED:
            raise self._source.fault(block.start, Fault.CAPTURED, captured)
        self._holds(block, at + captured)
        return block.body[at : at + captured]
