"""AF_XDP sockets, one for each queue of the flow director: who reads one gets the packets of its queue, and no others.

The kernel hands a packet only to a socket that is bound to the receive queue it came in by (net/xdp/xsk.c, `xsk_rcv`).
So each receive queue of the interface has frames of its own and as many sockets as the director has queues, which share
them. There are frames enough for all rings to be full: a queue that nobody reads loses its own packets, not others'.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from burstline.errors import BurstlineError, UsageError
from burstline.state.region import Block, Region
from burstline.steering.xdp.director import XdpDirector
from burstline.steering.xdp.rings import (
    COMPLETION,
    FILL,
    ROW,
    RX,
    SOL_XDP,
    STATISTICS,
    Ring,
    SocketRings,
    give_back,
    look,
)

AF_XDP = 44
UMEM_REG = 4
SHARED, COPY = 1, 2  # flags of bind
FRAME = 4096  # bytes, of which the kernel keeps 256 in front of a packet
MOST = 256  # packets at a time
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Received:
    """A packet of a queue; `mark` is that of the rule, or 0."""

    queue: int
    data: bytes
    mark: int


class RxQueue:
    """The frames of one receive queue, and its sockets by the director's queue. Raises OSError."""

    def __init__(self, interface: int, number: int, queues: int, ring: int) -> None:
        frames = 1 << (queues * ring - 1).bit_length()
        self.frames = Region(frames * FRAME)
        self.sockets: list[socket.socket] = []
        self.rings: list[Block] = []
        self._rx: list[Ring] = []  # mapped as long as they are read
        self.giving_back = threading.Lock()
        try:
            self._open(interface, number, queues, ring, frames)
        except Exception:
            self.close()
            raise

    def _open(self, interface: int, number: int, queues: int, ring: int, frames: int) -> None:
        for queue in range(queues):
            made = socket.socket(AF_XDP, socket.SOCK_RAW, 0)
            self.sockets.append(made)
            if queue == 0:
                region = struct.pack("<QQIII4x", self.frames.address, frames * FRAME, FRAME, 0, 0)
                made.setsockopt(SOL_XDP, UMEM_REG, region)
                self._fill, self._completion = Ring(made, FILL, frames), Ring(made, COMPLETION, 64)
                self._fill.put_all(range(0, frames * FRAME, FRAME))
            rx = Ring(made, RX, ring)
            flags, shared = (SHARED, self.sockets[0].fileno()) if queue else (COPY, 0)
            _bind(made, struct.pack("<HHIII", AF_XDP, flags, interface, number, shared))
            rings = Block(SocketRings.layout)
            rings.set(
                rx_producer=rx.producer, rx_consumer=rx.consumer, rx_entries=rx.entries, rx_mask=rx.mask,
                fill_producer=self._fill.producer, fill_entries=self._fill.entries, fill_mask=self._fill.mask,
                frames=self.frames.address,
            )  # fmt: skip
            self.rings.append(rings)
            self._rx.append(rx)

    def close(self) -> None:
        for each in self.sockets:
            each.close()


class XdpSockets:
    """The sockets of all queues of a director, from now on. `ring`: how many packets may wait in each, a power of two.
    Not for several threads that read the same queue. Raises BurstlineError."""

    def __init__(self, director: XdpDirector, ring: int = 1024) -> None:
        if type(ring) is not int or not 1 <= ring <= 1 << 15 or ring & ring - 1:
            raise UsageError(f"ring is {ring!r}", "give a power of two up to 32,768")
        self.director, self.queues = director, director.kernel.queues
        self._rx_queues: list[RxQueue] = []
        self._turn = 0
        self._rows = [Region(ROW * MOST) for _ in range(self.queues)]
        try:
            for number in range(director.interface.rx_queues):
                self._rx_queues.append(RxQueue(director.interface.index, number, self.queues, ring))
            for number, rx_queue in enumerate(self._rx_queues):
                for queue, each in enumerate(rx_queue.sockets):
                    place = number * self.queues + queue
                    director.kernel.sockets.set(struct.pack("<I", place), struct.pack("<I", each.fileno()))
        except OSError as error:
            self.close()
            raise _refused(error, director.interface.name) from None

    def receive(self, queue: int, most: int = 64) -> list[Received]:
        """Up to so many packets of a queue that wait; does not wait itself."""
        found: list[Received] = []
        rows = self._rows[queue]
        self._turn += 1  # so that no receive queue waits for another
        for k in range(len(self._rx_queues)):
            rx_queue = self._rx_queues[(self._turn + k) % len(self._rx_queues)]
            rings = rx_queue.rings[queue].address
            count = look(rings, rows.address, min(most - len(found), MOST))
            for at, size, mark in struct.iter_unpack("<QQQ", rows.read(0, ROW * count)):
                found.append(Received(queue, ctypes.string_at(at, size), mark))
            if count:
                with rx_queue.giving_back:
                    give_back(rings, count)
        return found

    def rings(self) -> list[list[int]]:
        """Of each queue the addresses of its SocketRings, one for each receive queue of the interface."""
        return [[rx.rings[queue].address for rx in self._rx_queues] for queue in range(self.queues)]

    def wait(self, seconds: float) -> list[int]:
        """The queues that have packets, as soon as one has, or none after so long."""
        of = {each.fileno(): queue for rx in self._rx_queues for queue, each in enumerate(rx.sockets)}
        polled = select.poll()
        for number in of:
            polled.register(number, select.POLLIN)
        return sorted({of[number] for number, _ in polled.poll(round(seconds * 1000))})

    def lost(self, queue: int) -> int:
        """Packets of a queue that the kernel dropped since nobody read them."""
        total = 0
        for rx_queue in self._rx_queues:
            said = rx_queue.sockets[queue].getsockopt(SOL_XDP, STATISTICS, 48)
            dropped, _, _, full, _, _ = struct.unpack("<6Q", said)
            total += dropped + full  # without a frame it is dropped, too
        return total

    def close(self) -> None:
        """Packets go to the kernel's own stack again."""
        for place in range(len(self._rx_queues) * self.queues):
            with contextlib.suppress(OSError):
                self.director.kernel.sockets.remove(struct.pack("<I", place))
        for rx_queue in self._rx_queues:
            rx_queue.close()
        self._rx_queues = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _bind(of: socket.socket, address: bytes) -> None:
    """socket.bind() knows no addresses of AF_XDP."""
    if _libc.bind(of.fileno(), address, len(address)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _refused(error: OSError, interface: str) -> BurstlineError:
    hints = {
        errno.EAFNOSUPPORT: "the kernel was built without CONFIG_XDP_SOCKETS: steer in software",
        errno.EBUSY: "another process receives from this interface by AF_XDP: end it",
        errno.EPERM: "be root, or have the capability CAP_NET_RAW",
        errno.ENOBUFS: "the process may lock too little memory: raise `ulimit -l`",
        errno.ENETDOWN: f"run `ip link set {interface} up`",
    }
    hint = hints.get(error.errno or 0, "Linux 5.18 or newer is needed")
    return BurstlineError(f"no AF_XDP sockets could be opened on {interface}: {error.strerror}", hint)
