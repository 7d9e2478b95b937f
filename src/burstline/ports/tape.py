"""A ring of bytes between a worker, which puts whole packets in as the file will have them, and the thread that writes.

The worker waits for nobody: where there is no room, the packet is dropped for that reason, and counted by port.
"""

from __future__ import annotations

import ctypes

from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct
from burstline.ports.capture_format import MAX_CAPTURED
from burstline.state.region import Block, Region

LARGEST_RECORD = MAX_CAPTURED + 64
LEAST = 1 << 20  # bytes of a ring: several of the largest packets


class TapeHead(Struct):
    """`head`, `tail` and `at` count bytes since the start, those included that were left out before the ring's end."""

    head: shared  # whole packets up to here; the worker tells it after each burst
    tail: shared  # what may be written over; the writer tells it
    at: shared  # the worker's own from here on: what it has put in
    known: i64  # `tail`, as it was when the worker looked last
    ring: i64  # address
    size: i64  # of it, a power of two
    end: i64  # where in the ring packets ended when they last went on at its start
    snaplen: i64  # bytes kept of a packet
    lost: i64  # address of packets for which there was no room, by port


class Tape:
    """One worker's; `size` bytes at least, `ports` as the pipeline numbers them."""

    def __init__(self, size: int, ports: int, snaplen: int = MAX_CAPTURED) -> None:
        self.size = 1 << (max(size, LEAST) - 1).bit_length()
        self._ring, self._lost = Region(self.size), Region(8 * ports)
        self._ports = ports
        self.block = Block(TapeHead.layout)
        self.block.set(ring=self._ring.address, size=self.size, snaplen=snaplen, lost=self._lost.address)
        self._tail = 0

    def take(self) -> memoryview:
        """What has come and lies in one piece, oldest first: whole packets. Empty where nothing has come."""
        head = self.block.get("head")
        while True:
            place, lap = self._tail % self.size, self._tail // self.size
            until = head % self.size if head // self.size == lap else self.block.get("end")
            if until > place or self._tail == head:
                return self._ring.view(place, until - place if self._tail != head else 0)
            self.done(self.size - place)  # the rest of the ring was left out

    def done(self, size: int) -> None:
        """So many bytes of what was taken are written."""
        self._tail += size
        self.block.set(tail=self._tail)

    @property
    def waiting(self) -> int:
        """Bytes that have come and are not written."""
        return self.block.get("head") - self._tail

    def lost(self) -> list[int]:
        """Packets for which there was no room, by port."""
        return [self._lost.i64(8 * port) for port in range(self._ports)]


def address_of(piece: memoryview) -> int:
    """Of memory that a region holds."""
    return ctypes.addressof(ctypes.c_char.from_buffer(piece))
