"""A writer of pcapng and pcap in plain Python: packets with their bytes, length on the wire and exact time."""

from __future__ import annotations

import errno
import os
import struct
from contextlib import suppress
from typing import BinaryIO, Literal, cast

from burstline.errors import BurstlineError
from burstline.ports import capture_format as form
from burstline.ports.pcapng_blocks import interface_description, section_header

Format = Literal["pcapng", "pcap"]
STANDARD_OUTPUT = "-"
_BUFFER = 256 << 10


def format_for(path: str | os.PathLike[str]) -> Format:
    """What a file of this name is written as: pcap when it ends so, else pcapng, standard output (`-`) included."""
    return "pcap" if os.fspath(path).lower().endswith(".pcap") else "pcapng"


def pcap_header(linktype: int) -> bytes:
    """The header of a little-endian pcap file with nanoseconds."""
    return struct.pack("<IHHIIII", form.PCAP_MAGIC_NS, *form.PCAP_VERSION, 0, 0, form.MAX_CAPTURED, linktype)


def create_capture(path: str | os.PathLike[str]) -> CaptureWriter:
    """A writer into a new file, or to standard output for `-`; the name's end chooses the format."""
    name = os.fspath(path)
    if name == STANDARD_OUTPUT:
        # Not sys.stdout: what an application prints may have been sent elsewhere.
        stream = cast(BinaryIO, open(1, "wb", buffering=0, closefd=False))  # noqa: SIM115
        return CaptureWriter(stream, "pcapng", "standard output")
    try:
        # Unbuffered: after a failed write, nothing is left over that closing would try to write again.
        stream = cast(BinaryIO, open(name, "wb", buffering=0))  # noqa: SIM115 the writer closes it
    except OSError as error:
        raise BurstlineError(f"cannot write {name}: {error.strerror}", hint_for(error)) from error
    return CaptureWriter(stream, format_for(name), name, owned=True)


class CaptureWriter:
    """Writes packets to a binary stream; `name` is what messages call it.

    pcapng holds packets of any interface and link type; pcap has one link type and no interfaces. Use it in a `with`
    statement, or call `close`. When a write fails, a file is cut back to the whole packets that `packets` counts, and
    every later `write` raises the same error.
    """

    def __init__(
        self, stream: BinaryIO, format: Format = "pcapng", name: str = "the capture", *, owned: bool = False
    ) -> None:
        self.name = name
        self.format: Format = format
        self.packets = 0  # in the stream, after `flush`
        self._stream = stream
        self._owned = owned  # `close` closes it
        self._buffer = bytearray(section_header() if format == "pcapng" else b"")
        self._pending = 0  # packets in the buffer
        self._interfaces: dict[tuple[int, int], int] = {}
        self._linktype: int | None = None
        self._failure: BurstlineError | None = None

    def write(
        self, data: bytes | bytearray | memoryview, length: int, time: int, interface: int = 0, linktype: int = 1
    ) -> None:
        """Add a packet: its captured bytes, its length on the wire in bytes, and nanoseconds since the epoch.

        Raises `BurstlineError` when the stream takes no more (a full disk), or when pcap cannot hold the packet.
        """
        if self._failure is not None:
            raise self._failure
        if self.format == "pcapng":
            self._enhanced(data, length, time, (interface, linktype))
        else:
            self._record(data, length, time, linktype)
        self._pending += 1
        if len(self._buffer) >= _BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand everything that was added to the stream."""
        if self.format == "pcap" and self._linktype is None:
            self._linktype = form.LINKTYPE_ETHERNET  # of a file without packets
            self._buffer += pcap_header(self._linktype)
        good = self._position()
        try:
            rest = memoryview(self._buffer)
            while rest:
                rest = rest[self._stream.write(rest) :]
            self._stream.flush()
        except OSError as error:
            self._failure = self._told(error)
            with suppress(OSError):
                if good is not None:
                    self._stream.truncate(good)
            raise self._failure from error
        self._buffer = bytearray()
        self.packets += self._pending
        self._pending = 0

    def close(self) -> None:
        """Write what is left; close the file if `create_capture` opened it. Twice does no harm."""
        try:
            if self._failure is None and not self._stream.closed:
                self.flush()
        finally:
            if self._owned:
                self._close()

    def _close(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> BurstlineError:
        reason = error.strerror or str(error)
        return BurstlineError(f"cannot write {self.name}: {reason}; it holds {self.packets} packets", hint_for(error))

    def __enter__(self) -> CaptureWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _position(self) -> int | None:
        with suppress(OSError, ValueError):
            if self._stream.seekable():
                return self._stream.tell()
        return None

    def _enhanced(
        self, data: bytes | bytearray | memoryview, length: int, time: int, interface: tuple[int, int]
    ) -> None:
        """NG "Enhanced Packet Block"; an interface is described before its first packet."""
        number = self._interfaces.get(interface)
        if number is None:
            # Numbers stay as they are in the source: interfaces without packets, so far, are described like this one.
            for earlier in range(len(self._interfaces), interface[0]):
                self._describe((earlier, interface[1]))
            number = self._describe(interface)
        captured = len(data)
        padding = -captured % 4
        size = form.BLOCK_MIN + form.ENHANCED_BODY + captured + padding
        stamp = time & 0xFFFF_FFFF_FFFF_FFFF
        self._buffer += struct.pack(
            "<IIIIIII", form.ENHANCED_PACKET, size, number, stamp >> 32, stamp & 0xFFFF_FFFF, captured, length
        )
        self._buffer += data
        self._buffer += bytes(padding) + struct.pack("<I", size)

    def _describe(self, interface: tuple[int, int]) -> int:
        number = self._interfaces[interface] = len(self._interfaces)
        self._buffer += interface_description(interface[1])
        return number

    def _record(self, data: bytes | bytearray | memoryview, length: int, time: int, linktype: int) -> None:
        if self._linktype is None:
            self._linktype = linktype
            self._buffer += pcap_header(linktype)
        if linktype != self._linktype:
            raise mixed_link_types(self.name)
        seconds, fraction = divmod(time, 1_000_000_000)
        if not 0 <= seconds < 1 << 32:
            raise out_of_time(self.name)
        self._buffer += struct.pack("<IIII", seconds, fraction, len(data), length)
        self._buffer += data


def mixed_link_types(name: str) -> BurstlineError:
    message = f"{name}: a pcap file holds one link type, and the packets have several"
    return BurstlineError(message, "give the output a name that ends in .pcapng")


def out_of_time(name: str) -> BurstlineError:
    message = f"{name}: a pcap file has no time outside of the years 1970 to 2106, and a packet has"
    return BurstlineError(message, "give the output a name that ends in .pcapng")


def hint_for(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there, or write to another disk"
    if error.errno == errno.EPIPE:
        return "the program that reads it has ended"
    return "is the path right, and may this user write there?"
