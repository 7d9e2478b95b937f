"""What a packet was merged of, and how one is to be cut: as the mbuf says it, to whoever sends it, and to stages."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load32, load64, store64
from burstline.offload.headers import TCP, TUNNEL, UDP, find_headers
from burstline.offload.mbuf import (
    OL_FLAGS,
    PKT_LEN,
    RX_IP_CKSUM_BAD,
    RX_IP_CKSUM_NONE,
    RX_L4_CKSUM_GOOD,
    RX_L4_CKSUM_NONE,
    RX_LRO,
    SEGSZ_MASK,
    SEGSZ_SHIFT,
    TX_OFFLOAD,
)


def segment_size(mbuf: int) -> int:
    """Bytes of payload of each packet that it was merged of; 0 where it was not."""
    return load64(mbuf + TX_OFFLOAD) >> SEGSZ_SHIFT & SEGSZ_MASK if load64(mbuf + OL_FLAGS) & RX_LRO else 0


def segments(mbuf: int, data: Any, captured: int, size: int) -> int:
    """How many packets it was merged of, when they have `size` bytes of payload."""
    payload = load32(mbuf + PKT_LEN) - find_headers(data, captured)[5]
    return (payload + size - 1) // size if size > 0 else 1


def cut_into(mbuf: int, size: int) -> None:
    """It is to be sent in segments of so many bytes of payload; 0: whole. One that a peer merged looks the same."""
    flags, offload = load64(mbuf + OL_FLAGS), load64(mbuf + TX_OFFLOAD)
    store64(mbuf + TX_OFFLOAD, offload & ~(SEGSZ_MASK << SEGSZ_SHIFT) | size << SEGSZ_SHIFT)
    if size > 0:
        store64(mbuf + OL_FLAGS, flags | RX_LRO | RX_L4_CKSUM_NONE)
    else:
        store64(mbuf + OL_FLAGS, flags & ~RX_LRO)


def size_to_fit(data: Any, captured: int, length: int, mtu: int, size: int) -> int:
    """Into what segments a packet of `length` bytes that nobody has said how to cut is cut where it is larger than the
    MTU, 0 where it is not: of `size` bytes of payload, or without a size TCP into as large ones as fit. Bounds of
    datagrams mean something to the receiver."""
    if length <= mtu:
        return 0
    shape, outer_l3, _, l3, _, payload = find_headers(data, captured)
    first = outer_l3 if shape & TUNNEL else l3
    if length - first <= mtu or shape & (TCP | UDP) == 0:
        return 0
    if size == 0 and shape & TCP:
        size = max(0, mtu - (payload - first))
    return size


def partial(mbuf: int) -> bool:
    """Its transport checksum is not in it, but would be right (RX_L4_CKSUM_NONE)."""
    return load64(mbuf + OL_FLAGS) & RX_L4_CKSUM_NONE == RX_L4_CKSUM_NONE


def found_right(mbuf: int) -> bool:
    """Its checksums were looked at, by the port or by software in its place, and are right."""
    flags = load64(mbuf + OL_FLAGS)
    return flags & RX_L4_CKSUM_GOOD != 0 and flags & RX_IP_CKSUM_NONE != RX_IP_CKSUM_BAD


def copy_marks(to: int, source: int) -> None:
    """A copy lacks the same checksum, and is to be cut in the same way."""
    merged = load64(source + OL_FLAGS) & RX_LRO
    if merged or partial(source):
        store64(to + OL_FLAGS, load64(to + OL_FLAGS) | merged | RX_L4_CKSUM_NONE)
        store64(to + TX_OFFLOAD, load64(source + TX_OFFLOAD))
