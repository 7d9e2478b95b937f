"""Compiled: packets of AF_XDP sockets into mbufs, as if the driver of the queue that is polled had received them.

A rte_rx_callback_fn (rte_ethdev.h): it is called behind the driver of a queue, which has received nothing.
"""

from __future__ import annotations

from burstline.native.memory import (
    call_with_three,
    call_with_two,
    compare_swap,
    copy,
    load16,
    load32,
    load64,
    store16,
    store32,
    store64,
    store_release,
)
from burstline.native.struct_type import reference
from burstline.offload.mbuf import (
    BUF_ADDR,
    DATA_LEN,
    DATA_OFF,
    MARK,
    OL_FLAGS,
    PKT_LEN,
    PORT,
    RX_FDIR,
    RX_FDIR_ID,
)
from burstline.steering.xdp.receiver import QueueReceiver
from burstline.steering.xdp.rings import SocketRings
from burstline.steering.xdp.rings_kernel import entry_of, give_back_frames, take_mark, waiting_packets

U16 = 0xFFFF  # C leaves the rest of a register as it is
receiver_at, rings_at = reference(QueueReceiver), reference(SocketRings)


def receive_mbufs(port: int, queue: int, mbufs: int, received: int, most: int, argument: int) -> int:
    """Behind the `received` mbufs those of packets that wait, up to `most`; how many there are then."""
    own, found, most = receiver_at(argument), received & U16, most & U16
    for k in range(own.count):
        rings = rings_at(load64(own.sockets + 8 * k))
        count = min(waiting_packets(rings), most - found)
        if count > 0 and call_with_three(own.alloc, own.pool, mbufs + 8 * found, count) == 0:
            found += fill_mbufs(own, rings, mbufs + 8 * found, count, port & U16)
            rings.owed += count
        # Nobody waits: while another worker gives frames back, they stay owed until the next burst.
        if rings.owed != 0 and compare_swap(own.locks + 8 * k, 0, 1) != 0:
            give_back_frames(rings, rings.owed)
            rings.owed = 0
            store_release(own.locks + 8 * k, 0)
    return found


def fill_mbufs(own: QueueReceiver, rings: SocketRings, mbufs: int, count: int, port: int) -> int:
    """Copy the next packets; how many had room. Mbufs of others are freed."""
    kept = 0
    for k in range(count):
        entry, mbuf = entry_of(rings, rings.owed + k), load64(mbufs + 8 * k)
        data, size = rings.frames + load64(entry), load32(entry + 8)
        mark = take_mark(data)
        store64(mbufs + 8 * kept, mbuf)
        if size > own.room:
            call_with_two(own.free, mbufs + 8 * kept, 1)
            own.lost += 1
        else:
            copy(load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF), data, size)
            store16(mbuf + DATA_LEN, size)
            store32(mbuf + PKT_LEN, size)
            store16(mbuf + PORT, port)
            if mark != 0:
                store32(mbuf + MARK, mark)
                store64(mbuf + OL_FLAGS, load64(mbuf + OL_FLAGS) | RX_FDIR | RX_FDIR_ID)
            kept += 1
    return kept
