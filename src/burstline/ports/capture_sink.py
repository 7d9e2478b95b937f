"""A capture file that compiled workers write: its structure in memory, its start, and what can go wrong."""

from __future__ import annotations

import errno
import os

from burstline.errors import BurstlineError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_writer import format_for, pcap_header, section_header
from burstline.state.region import Block, Region

BUFFER = 1 << 20
MIXED_LINKTYPES = -1  # a fault: pcap has one link type


class Sink(Struct):
    """An output file; whoever has the turn writes."""

    turn: i64
    fd: i64
    is_pcapng: i64
    linktype: i64  # of a pcap file; -1 until the first packet tells
    described: i64  # pcapng: interfaces described so far
    buffer: i64
    used: i64
    fault: i64  # errno, or MIXED_LINKTYPES
    packets: i64


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

    def close(self, linktype: int = LINKTYPE_ETHERNET) -> None:
        """Write what is left and close; raises when anything could not be written. `linktype` is for an empty pcap."""
        try:
            if not self.block.get("is_pcapng") and self.block.get("linktype") < 0:
                self._append(pcap_header(linktype))
            fault = self.block.get("fault")
            rest = memoryview(self.memory.read(0, self.block.get("used")))
            while rest and not fault:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except OSError as error:
                    fault = error.errno or errno.EIO
        finally:
            if self._owned:
                os.close(self._fd)
        if fault == MIXED_LINKTYPES:
            raise BurstlineError(
                f"{self.name}: a pcap file holds one link type, and the packets have several",
                "give the output a name that ends in .pcapng",
            )
        if fault:
            hint = "free some space, or write elsewhere" if fault == errno.ENOSPC else None
            raise BurstlineError(f"cannot write {self.name}: {os.strerror(fault)}", hint)
