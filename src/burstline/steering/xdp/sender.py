"""Packets that leave by an interface of the kernel's, from a DPDK port of rings: a packet socket for each queue.

A callback ahead of the queue's driver (rte_eth_add_tx_callback) hands a burst to the kernel by one sendmmsg, which
copies it, and then lets the driver put the mbufs that were taken into its ring, as a NIC keeps what it has not sent.
They are freed with the next burst.
"""

from __future__ import annotations

import socket

from burstline.dpdk.binding import native
from burstline.dpdk.ring_port import RingPort
from burstline.errors import BurstlineError
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block, Region

BURST, PIECES = 256, 2048  # packets of a call, and segments of all of them
MESSAGE, PIECE = 64, 16  # bytes of struct mmsghdr and of struct iovec (sendmmsg(2), x86-64 and every LP64)
SEND_BUFFER, SO_SNDBUFFORCE = 4 << 20, 32


class QueueSender(Struct):
    """Of one queue."""

    socket: i64  # its number
    messages: i64  # address of room for BURST struct mmsghdr
    pieces: i64  # and for PIECES struct iovec
    receive: i64  # address of bl_dpdk_rx
    free: i64  # and of bl_dpdk_free
    other: i64  # the port that receives what was sent on this one
    gone: i64  # address of room for BURST mbufs


send = Kernel("burstline.steering.xdp.sender_kernel:send_mbufs", int, int, int, int, int)


class PacketSender:
    """From now on what is sent on `port` leaves by `interface`, of the network namespace that the calling thread is in.
    To be closed before the port. Raises BurstlineError."""

    def __init__(self, port: RingPort, interface: str) -> None:
        self._port = port.id
        self._queues: list[tuple[int, Block]] = []
        self._sockets: list[socket.socket] = []
        self._memory: list[Region] = []
        self._other = port.other_side()
        try:
            self._other.start()
            for queue in range(port.queues):
                self._open(queue, interface)
        except Exception as error:
            self.close()
            if isinstance(error, OSError):
                hint = "be root, or have the capability CAP_NET_RAW; an interface must be up"
                raise BurstlineError(f"no packets can be sent on {interface}: {error.strerror}", hint) from None
            raise

    def _open(self, queue: int, interface: str) -> None:
        # Protocol 0: nothing is received on it (packet(7)).
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._sockets.append(made)
        made.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER)
        made.bind((interface, 0))
        messages, pieces, gone = Region(BURST * MESSAGE), Region(PIECES * PIECE), Region(8 * BURST)
        self._memory += [messages, pieces, gone]
        block = Block(QueueSender.layout, 128)
        block.set(
            socket=made.fileno(), messages=messages.address, pieces=pieces.address, gone=gone.address,
            receive=native.SYMBOLS["bl_dpdk_rx"], free=native.SYMBOLS["bl_dpdk_free"], other=self._other.id,
        )  # fmt: skip
        self._queues.append((native.port_sender(self._port, queue, send.address, block.address), block))

    def close(self) -> None:
        """Nobody may send on the port any more."""
        for queue, (handle, _) in enumerate(self._queues):
            native.port_sender_gone(self._port, queue, handle)
        self._queues = []
        self._other.close()
        for each in self._sockets:
            each.close()
        self._sockets = []
