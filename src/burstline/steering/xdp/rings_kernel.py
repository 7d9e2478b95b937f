"""Compiled: packets out of the ring of an AF_XDP socket, and their frames back to the kernel.

Each index is 32 bits on a cache line of its own, alone but for padding (net/xdp/xsk_queue.h), so that it is read and
written as 64 bits, for which there are atomics.
"""

from __future__ import annotations

from burstline.native.memory import load32, load64, load_acquire, store32, store64, store_release
from burstline.steering.xdp.layout import META_MAGIC, META_SIZE
from burstline.steering.xdp.rings import ADDRESS, DESCRIPTOR, ROW, SocketRings

INDEX = 0xFFFFFFFF


def waiting_packets(rings: SocketRings) -> int:
    """How many have come and were not taken."""
    return ((load_acquire(rings.rx_producer) & INDEX) - load32(rings.rx_consumer) - rings.owed) & INDEX


def entry_of(rings: SocketRings, k: int) -> int:
    """The address of the descriptor of the packet so many behind the first that was not given back."""
    return rings.rx_entries + DESCRIPTOR * ((load32(rings.rx_consumer) + k) & rings.rx_mask)


def take_mark(data: int) -> int:
    """The mark in front of a packet, or 0; the next packet in this frame may have none."""
    if load32(data - META_SIZE + 4) != META_MAGIC:
        return 0
    store32(data - META_SIZE + 4, 0)
    return load32(data - META_SIZE)


def look_at_packets(rings: SocketRings, rows: int, most: int) -> int:
    """Write address, length and mark of up to `most` packets that have come; returns how many. They stay where they
    are until they are given back."""
    count = min(waiting_packets(rings), most)
    for k in range(count):
        entry = entry_of(rings, rings.owed + k)
        data = rings.frames + load64(entry)
        store64(rows + ROW * k, data)
        store64(rows + ROW * k + 8, load32(entry + 8))
        store64(rows + ROW * k + 16, take_mark(data))
    return count


def give_back_frames(rings: SocketRings, count: int) -> int:
    """The first `count` packets are done with. One thread at a time of all whose sockets share the fill ring; it has
    room for all frames."""
    consumer, producer = load32(rings.rx_consumer), load32(rings.fill_producer)
    for k in range(count):
        address = load64(entry_of(rings, k))
        store64(rings.fill_entries + ADDRESS * ((producer + k) & rings.fill_mask), address)
    store_release(rings.rx_consumer, (consumer + count) & INDEX)
    store_release(rings.fill_producer, (producer + count) & INDEX)
    return 0
