"""The head of a merged packet becomes what a virtio peer's LRO packet looks like: lengths, flags, and the sum of the
pseudo header in the place of the transport's checksum (virtio 1.2 section 5.1.6.4, VIRTIO_NET_HDR_F_NEEDS_CSUM)."""

from __future__ import annotations

from typing import Any

from burstline.native.build import apart
from burstline.native.memory import be8, be16, be32, load8, load16, load64, put16, store8, store16, store32, store64
from burstline.offload.gro.forms import Form
from burstline.offload.gro.gro import Held
from burstline.offload.gro.transport_kernel import TCP, UDP
from burstline.offload.gro.word import OUTER_CHECKSUM
from burstline.offload.mbuf import (
    DATA_OFF,
    NB_SEGS,
    OL_FLAGS,
    PKT_LEN,
    RX_L4_CKSUM_NONE,
    RX_LRO,
    RX_OUTER_L4_CKSUM_BAD,
    RX_OUTER_L4_CKSUM_GOOD,
    SEGSZ_SHIFT,
    TX_OFFLOAD,
)


@apart
def make_merged(held: Held, form: Form, sums: int) -> None:
    """Of several packets, whose mbufs hang on each other already. `sums` is the flag of those whose sums are kept."""
    mbuf, whole = held.head, held.bytes
    data: Any = load64(mbuf) + load16(mbuf + DATA_OFF)
    store32(mbuf + PKT_LEN, whole)
    store16(mbuf + NB_SEGS, held.segments)
    store64(mbuf + TX_OFFLOAD, held.segment << SEGSZ_SHIFT)
    flags = load64(mbuf + OL_FLAGS) | RX_LRO | RX_L4_CKSUM_NONE | sums
    if form.outer_l3 != 0:
        set_length(data, form.outer_l3, whole)
        put16(data, form.outer_l4 + 4, whole - form.outer_l4)
        if held.same & OUTER_CHECKSUM:
            put16(data, form.outer_l4 + 6, pseudo_header(data, form.outer_l3, UDP, whole - form.outer_l4))
            flags |= RX_OUTER_L4_CKSUM_GOOD | RX_OUTER_L4_CKSUM_BAD
    store64(mbuf + OL_FLAGS, flags)
    set_length(data, form.l3, whole)
    size = whole - form.l4
    if form.sequence != 0:
        store8(data + form.l4 + 13, load8(data + form.l4 + 13) | held.ends)
        put16(data, form.l4 + 16, pseudo_header(data, form.l3, TCP, size))
    else:
        put16(data, form.l4 + 4, size)
        put16(data, form.l4 + 6, pseudo_header(data, form.l3, UDP, size))


def set_length(data: Any, l3: int, whole: int) -> None:
    """Of an IP header; IPv4's checksum changes with it (RFC 1624 section 3)."""
    if be8(data, l3) >> 4 == 6:
        put16(data, l3 + 4, whole - l3 - 40)
        return
    total = (be16(data, l3 + 10) ^ 0xFFFF) + (be16(data, l3 + 2) ^ 0xFFFF) + (whole - l3)
    put16(data, l3 + 2, whole - l3)
    put16(data, l3 + 10, fold(total) ^ 0xFFFF)


def pseudo_header(data: Any, l3: int, proto: int, size: int) -> int:
    """RFC 9293 section 3.1, RFC 8200 section 8.1."""
    total = proto + size
    if be8(data, l3) >> 4 == 6:
        for at in range(l3 + 8, l3 + 40, 4):
            total += be32(data, at)
    else:
        total += be32(data, l3 + 12) + be32(data, l3 + 16)
    return fold((total & 0xFFFFFFFF) + (total >> 32))


def fold(total: int) -> int:
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)
