"""What the compiled capture reader and writer share with Python: their structures, and the start of a file."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
import sys

from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct
from burstline.ports import capture_format as form
from burstline.ports.capture_format import CaptureError, Fault
from burstline.ports.source import open_source
from burstline.state.region import Block, Region

CHUNK = 512 << 10  # bytes read at once: they stay in L2 until the stages are done with them
MIN_RECORD = 16  # the least bytes a packet takes in a file
CHUNK_PACKETS = CHUNK // MIN_RECORD
STRANDS = 16
STRAND = CHUNK // STRANDS
STRAND_PACKETS = STRAND // MIN_RECORD
STRAND_MEMORY = STRANDS * (64 + 4 * STRAND_PACKETS)
VERDICTS = 4 * CHUNK_PACKETS  # bytes of one worker's verdicts on a chunk
LIST = 8 + 2 * CHUNK_PACKETS + 120  # bytes of one worker's list; a multiple of a cache line, with room to look ahead
BUFFER = CHUNK + form.BLOCK_MAX + 4096  # room for the largest block, of which memory is used only when one comes
INTERFACES = 1 << 16
MAP_NORESERVE = 0x4000  # mmap(2): a private mapping of a file larger than memory is no promise of that much memory
MADV_POPULATE_READ = 22  # madvise(2)
NO_SWITCH = 1 << 62
READ_FAILED = 100  # a fault of the system's, not of the file: the value is errno


class Interface(Struct):
    """A described interface; its timestamps become nanoseconds by `stamp * factor / divisor >> shift`, + `offset`."""

    linktype: i64
    snaplen: i64
    factor: i64
    divisor: i64
    shift: i64
    offset: i64


class Capture(Struct):
    """An open capture: the state of the walk, which the holder of the turn changes."""

    turn: shared  # the number of the chunk that is walked next
    last: shared  # the last chunk that there is, once known; before that, the largest number
    fd: i64
    seekable: i64
    map: i64  # address of the mapped file, or 0 when it is read
    size: i64  # of the mapped file
    is_pcapng: i64
    swapped: i64  # its byte order is not this host's
    unit: i64  # pcap: nanoseconds in one unit of the fraction
    seconds: i64  # pcap: about when packets were captured, since the epoch
    next_offset: i64  # where the next record starts, in the file
    stream_offset: i64  # bytes of a stream read so far
    interfaces: i64  # address of the table
    interface_count: i64
    section_first: i64  # the first interface of this section
    fault: i64
    fault_offset: i64
    fault_value: i64
    stop: i64  # address of the engine's stop flag
    swaps: shared  # how often new code was announced for all workers
    swaps_seen: i64  # how many of these the holder of the turn has seen
    switch: shared  # the chunk from which on the announced code is to be used; the largest number while there is none


class Chunk(Struct):
    """A piece of a capture in memory and the burst of its packets."""

    ready: shared  # number of the chunk that it holds + 1, once its packets may be processed
    remaining: shared  # workers that have not processed it yet
    buffer: i64
    burst: i64
    base: i64  # where the buffer's first byte lies in the file
    have: i64  # bytes in the buffer
    packets: i64
    guessed: i64  # its packets were found by strands, and their columns are still to be filled
    strands: i64  # address of the memory for that
    verdicts: i64  # address of an array of 32-bit verdicts for each worker
    lists: i64  # address of a list for each worker: a count, then the 16-bit indices of its packets
    made: i64  # address of what each worker's stages make of it, or 0


CHUNK_STRIDE = -(-Chunk.layout.size // 128) * 128  # bytes from one to the next: none shares a pair of cache lines


class OpenCapture:
    """A capture file, opened and ready for the compiled walk. Raises `CaptureError` when it is none."""

    def __init__(self, path: str) -> None:
        self.feeder = open_source(path)
        self.name = self.feeder.name
        self.head = b""
        self.table = Region(INTERFACES * Interface.layout.size)
        self.block = Block(Capture.layout)
        self.block.set(
            last=(1 << 62),
            switch=NO_SWITCH,
            fd=self.feeder.fd,
            seekable=int(self.feeder.seekable),
            interfaces=self.table.address,
        )
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        head = self._first(4)
        if not head:
            self.feeder.finish()
            raise CaptureError(self.name, 0, Fault.EMPTY)
        if len(head) < 4:
            self.feeder.finish()
            raise CaptureError(self.name, 0, Fault.CUT_HEADER)
        if int.from_bytes(head, "big") == form.SECTION_HEADER:
            self.block.set(is_pcapng=1)
            self.head = b"" if self.feeder.seekable else head
            return
        for order in ("<", ">"):
            magic = struct.unpack(order + "I", head)[0]
            if magic in (form.PCAP_MAGIC_US, form.PCAP_MAGIC_NS):
                self._pcap(order, magic, head)
                return
        raise CaptureError(self.name, 0, Fault.NOT_A_CAPTURE, int.from_bytes(head, "big"))

    def _pcap(self, order: str, magic: int, head: bytes) -> None:
        header = self._first(form.PCAP_HEADER) if self.feeder.seekable else head + self._more(form.PCAP_HEADER - 4)
        if len(header) < form.PCAP_HEADER:
            self.feeder.finish()
            raise CaptureError(self.name, 0, Fault.CUT_HEADER)
        major, linktype = struct.unpack(order + "4xH14xI", header)
        if major != form.PCAP_VERSION[0]:
            raise CaptureError(self.name, 0, Fault.VERSION, major)
        self.block.set(
            swapped=int(order == ">"),
            unit=1 if magic == form.PCAP_MAGIC_NS else 1000,
            next_offset=form.PCAP_HEADER,
            stream_offset=form.PCAP_HEADER,
            interface_count=1,
        )
        self.table.set_i64(Interface.layout.offset("linktype"), linktype & form.PCAP_LINKTYPE_MASK)
        if self.feeder.seekable and len(first := os.pread(self.feeder.fd, 4, form.PCAP_HEADER)) == 4:
            self.block.set(seconds=struct.unpack(order + "I", first)[0])

    def map(self) -> None:
        """Map a regular file instead of reading it, where the system can populate a mapping ahead (Linux 5.14).

        It saves copying every byte; what stages write goes to private copies of the pages, at the cost of a fault each.
        """
        size = self.size
        if not size or sys.platform != "linux":
            return
        try:
            mapped = mmap.mmap(self.feeder.fd, size, mmap.MAP_PRIVATE | MAP_NORESERVE)
            mapped.madvise(MADV_POPULATE_READ, 0, min(size, mmap.PAGESIZE))
        except (OSError, ValueError):
            return
        self._map = mapped
        self._view = (ctypes.c_char * size).from_buffer(mapped)
        self.block.set(map=ctypes.addressof(self._view), size=size)

    def _first(self, count: int) -> bytes:
        """The first bytes: a file keeps them, of a stream they are gone."""
        if self.feeder.seekable:
            return os.pread(self.feeder.fd, count, 0)
        return self.feeder.head + self._more(count - len(self.feeder.head))

    def _more(self, count: int) -> bytes:
        data = b""
        while len(data) < count and (piece := os.read(self.feeder.fd, count - len(data))):
            data += piece
        return data

    @property
    def size(self) -> int | None:
        """Bytes of a regular file, to show progress by."""
        return os.fstat(self.feeder.fd).st_size if self.feeder.seekable else None

    @property
    def position(self) -> int:
        return self.block.get("next_offset")

    def linktypes(self) -> list[int]:
        """The link type of each interface described so far."""
        step, at = Interface.layout.size, Interface.layout.offset("linktype")
        return [self.table.i64(k * step + at) for k in range(self.block.get("interface_count"))]

    def swap_announced(self) -> None:
        """There is new code for every worker: whoever holds the turn next decides from which chunk on it is used."""
        self.block.set(swaps=self.block.get("swaps") + 1)

    def swap_settled(self) -> None:
        """Every worker uses it."""
        self.block.set(switch=NO_SWITCH)

    def finish(self) -> None:
        """After the walk came to its end: raise what ended it early, if anything did."""
        fault = self.block.get("fault")
        if fault == READ_FAILED:
            raise CaptureReadError(self.name, self.block.get("fault_value"))
        self.feeder.finish()
        if fault:
            raise CaptureError(self.name, self.block.get("fault_offset"), Fault(fault), self.block.get("fault_value"))

    def close(self) -> None:
        self.feeder.close()


class CaptureReadError(CaptureError):
    """The system could not read the file."""

    def __init__(self, name: str, error: int) -> None:
        super(CaptureError, self).__init__(f"cannot read {name}: {os.strerror(error)}")
