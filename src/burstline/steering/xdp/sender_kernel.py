"""Compiled: a burst of mbufs to the kernel, ahead of the driver of a port of rings.

A rte_tx_callback_fn (rte_ethdev.h).
"""

from __future__ import annotations

from burstline.native.memory import (
    call_with_four,
    call_with_two,
    external,
    load16,
    load64,
    store64,
)
from burstline.native.struct_type import reference
from burstline.offload.mbuf import BUF_ADDR, DATA_LEN, DATA_OFF, NEXT
from burstline.steering.xdp.sender import BURST, MESSAGE, PIECE, PIECES, QueueSender

U16, U32 = 0xFFFF, 0xFFFFFFFF  # C leaves the rest of a register as it is
NOWAIT = 0x40  # MSG_DONTWAIT
PIECES_AT, COUNT_AT = 16, 24  # msg_iov and msg_iovlen of struct msghdr

sendmmsg = external("sendmmsg", 4)
sender_at = reference(QueueSender)


def send_mbufs(port: int, queue: int, mbufs: int, count: int, argument: int) -> int:
    """How many of the packets the kernel took, from the front."""
    own = sender_at(argument)
    free_sent(own, queue & U16)
    most = min(count & U16, BURST)
    filled, used = 0, 0
    while filled < most:
        pieces = fill_pieces(load64(mbufs + 8 * filled), own.pieces + used * PIECE, PIECES - used)
        if pieces == 0:
            break
        message = own.messages + filled * MESSAGE
        store64(message + PIECES_AT, own.pieces + used * PIECE)
        store64(message + COUNT_AT, pieces)
        used += pieces
        filled += 1
    if filled == 0:
        return 0
    sent = sendmmsg(own.socket, own.messages, filled, NOWAIT) & U32
    return sent if sent <= filled else 0  # -1: none


def free_sent(own: QueueSender, queue: int) -> None:
    """The mbufs of the packets before: the kernel has its copies."""
    while True:
        n = call_with_four(own.receive, own.other, queue, own.gone, BURST)
        if n > 0:
            call_with_two(own.free, own.gone, n)
        if n < BURST:
            return


def fill_pieces(mbuf: int, at: int, most: int) -> int:
    """Where the segments of a packet lie; how many there are, 0 where there is no room for all."""
    pieces = 0
    while mbuf != 0:
        if pieces == most:
            return 0
        store64(at + pieces * PIECE, load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF))
        store64(at + pieces * PIECE + 8, load16(mbuf + DATA_LEN))
        pieces += 1
        mbuf = load64(mbuf + NEXT)
    return pieces
