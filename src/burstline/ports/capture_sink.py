"""A capture file that compiled workers write: its structure in memory, its start, and what can go wrong."""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from burstline.errors import BurstlineError
from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_writer import format_for, mixed_link_types, out_of_time, pcap_header
from burstline.ports.pcapng_blocks import section_header
from burstline.state.region import Block, Region

BUFFER = 2 << 20  # larger than any packet: form.MAX_CAPTURED and its frame
MIXED_LINKTYPES, OUT_OF_TIME = -1, -2  # faults: what pcap cannot hold


class Sink(Struct):
    """An output file; whoever has the turn writes."""

    turn: shared  # of the chunk that is written next
    fd: i64
    is_pcapng: i64
    linktype: i64  # of a pcap file; -1 until the first packet tells
    described: i64  # pcapng: interfaces described so far
    buffer: i64
    used: i64
    fault: i64  # errno, or what pcap cannot hold
    packets: i64  # put into the buffer so far
    bytes: i64  # of them on the wire
    kept_size: i64  # bytes that were written and end with a whole packet
    kept_packets: i64
    kept_bytes: i64


class CaptureSink:
    """A capture file being written by compiled code; the name's end chooses pcap or pcapng."""

    def __init__(self, path: str) -> None:
        self.name = "standard output" if path == "-" else path
        self._owned = path != "-"
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666) if self._owned else 1
        except OSError as error:
            raise BurstlineError(f"cannot write {self.name}: {error.strerror}") from error
        self.memory = Region(BUFFER + 4096)
        self.block = Block(Sink.layout)
        is_pcapng = format_for(path) == "pcapng"
        self.block.set(fd=self._fd, is_pcapng=int(is_pcapng), linktype=-1, buffer=self.memory.address)
        if is_pcapng:
            self._append(section_header())

    def _append(self, data: bytes) -> None:
        used = self.block.get("used")
        self.memory.write(used, data)
        self.block.set(used=used + len(data))

    @property
    def kept(self) -> tuple[int, int]:
        """Packets, and their bytes on the wire, that are in the file once it is closed."""
        return self.block.get("kept_packets"), self.block.get("kept_bytes")

    def close(self, linktype: int = LINKTYPE_ETHERNET) -> None:
        """Write what is left and close. When anything could not be written, the file is cut back to whole packets and
        BurstlineError raised. `linktype` is for a pcap file without packets."""
        if not self.block.get("is_pcapng") and self.block.get("linktype") < 0:
            self._append(pcap_header(linktype))
        try:
            if self.block.get("fault") <= 0:
                self._flush()
            fault = self.block.get("fault")
            if fault > 0:
                with suppress(OSError):  # not a regular file
                    os.ftruncate(self._fd, self.block.get("kept_size"))
        finally:
            if self._owned:
                os.close(self._fd)
        if fault < 0:
            raise mixed_link_types(self.name) if fault == MIXED_LINKTYPES else out_of_time(self.name)
        if fault:
            hint = "free some space, or write elsewhere" if fault == errno.ENOSPC else None
            raise BurstlineError(f"cannot write {self.name}: {os.strerror(fault)}", hint)

    def _flush(self) -> None:
        """As the compiled `flush` does, for the last time."""
        rest = memoryview(self.memory.read(0, self.block.get("used")))
        size = len(rest)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                self.block.set(fault=error.errno or errno.EIO)
                return
        block = self.block
        block.set(
            kept_size=block.get("kept_size") + size,
            kept_packets=block.get("packets"),
            kept_bytes=block.get("bytes"),
        )
