"""What a worker needs to receive the packets of one queue from its AF_XDP sockets as mbufs."""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct


class QueueReceiver(Struct):
    """Of one queue of the director."""

    sockets: i64  # address: of each receive queue of the interface the address of the SocketRings
    locks: i64  # address: and a word that is 1 while a thread gives frames back to it
    count: i64  # of them
    alloc: i64  # address of bl_dpdk_alloc
    free: i64  # and of bl_dpdk_free
    pool: i64
    room: i64  # bytes in an mbuf of the pool
    lost: i64  # packets that had no mbuf with room for them


receive = Kernel("burstline.steering.xdp.receiver_kernel:receive_mbufs", int, int, int, int, int, int)
