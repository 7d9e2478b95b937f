"""The rings of an AF_XDP socket in memory (Documentation/networking/af_xdp.rst)."""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from dataclasses import dataclass

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Mapped

SOL_XDP, MMAP_OFFSETS, STATISTICS = 283, 1, 7
DESCRIPTOR, ADDRESS = 16, 8  # bytes of an entry of the ring of received packets, and of the fill ring
ROW = 24  # bytes of what `look` writes of a packet: address, length, mark


@dataclass(frozen=True)
class Kind:
    """One of the four rings of a socket: the option that makes it, where it is mapped, its place among the offsets."""

    option: int
    page: int
    offsets: int
    entry: int


RX = Kind(2, 0, 0, DESCRIPTOR)
FILL = Kind(5, 0x100000000, 2, ADDRESS)
COMPLETION = Kind(6, 0x180000000, 3, ADDRESS)


class SocketRings(Struct):
    """Addresses of what a receiving socket needs: its ring of received packets, the fill ring, the frames."""

    rx_producer: i64
    rx_consumer: i64
    rx_entries: i64
    rx_mask: i64  # entries, less one
    fill_producer: i64
    fill_entries: i64
    fill_mask: i64
    frames: i64
    owed: i64  # packets that were taken, and whose frames were not given back yet


look = Kernel("burstline.steering.xdp.rings_kernel:look_at_packets", SocketRings, int, int)
give_back = Kernel("burstline.steering.xdp.rings_kernel:give_back_frames", SocketRings, int)


class Ring:
    """A ring of `entries`, a power of two, of a socket. Raises OSError."""

    def __init__(self, of: socket.socket, kind: Kind, entries: int) -> None:
        of.setsockopt(SOL_XDP, kind.option, struct.pack("<I", entries))
        offsets = struct.unpack("<16Q", of.getsockopt(SOL_XDP, MMAP_OFFSETS, 128))
        producer, consumer, first, _ = offsets[4 * kind.offsets : 4 * kind.offsets + 4]
        size = first + entries * kind.entry
        self._memory = Mapped(of.fileno(), kind.page, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        start = self._memory.address
        self.producer, self.consumer, self.entries, self.mask = (
            start + producer, start + consumer, start + first, entries - 1,
        )  # fmt: skip

    def put_all(self, addresses: range) -> None:
        """Into a ring that is empty, before the socket is bound."""
        words = (ctypes.c_uint64 * len(addresses)).from_address(self.entries)
        words[:] = list(addresses)
        ctypes.c_uint32.from_address(self.producer).value = len(addresses)
