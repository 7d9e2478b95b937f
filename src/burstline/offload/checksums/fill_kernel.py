"""Checksums of packets that are sent, filled in as a NIC does it; the compiled half of `checksum.py`.

Where headers are is what the mbuf says, not the packet. A pseudo header's sum need not be there: it is added up anew,
but for IPv6 with a routing header, where only the sender of the packet knows its destination.
"""

from __future__ import annotations

from burstline.native.build import apart
from burstline.native.memory import load8, load16, load32, load64, shift_right, store64
from burstline.offload import headers as h
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import HARDWARE_TUNNELS, Checksums
from burstline.offload.checksums.covered_kernel import (
    NOT_HERE,
    covered_end,
    field_of,
    front_of,
    is_routed,
    protocol_of,
    pseudo_sum,
    write16,
)
from burstline.offload.checksums.crc32c_kernel import sctp_checksum
from burstline.offload.checksums.sum_kernel import checksum_of, sum_packet, sum_words
from burstline.simd.memory import scratch

INNER = m.TX_IP_CKSUM | m.TX_L4_MASK
ASKED = INNER | m.TX_OUTER_IP_CKSUM | m.TX_OUTER_UDP_CKSUM
SEGMENTED = m.TX_TCP_SEG | m.TX_UDP_SEG
OUTER = m.TX_OUTER_IPV4 | m.TX_OUTER_IPV6
L4_SHIFT = 52


def fill(state: Checksums, mbufs: int, n: int) -> int:
    """Fills what `n` packets ask for and the port does not; returns how many it were. What is to be cut to segments
    is left alone: each segment has checksums of its own."""
    room = scratch()
    filled = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        flags = load64(mbuf + m.OL_FLAGS)
        if flags & ASKED and flags & SEGMENTED == 0:
            hardware = 0 if state.one_mbuf and load16(mbuf + m.NB_SEGS) > 1 else state.hardware
            ours = left_to_us(flags, hardware)
            if ours:
                fill_packet(mbuf, flags, ours, room)
                filled += 1
    state.filled += filled
    return filled


def fill_ip_of_large(state: Checksums, mbuf: int) -> None:
    """Of a packet that the port cuts, where it takes no order for IPv4's checksum: it writes those of the segments by
    itself, but a peer may take the packet as it is."""
    flags = load64(mbuf + m.OL_FLAGS)
    ours = flags & m.TX_IP_CKSUM & ~state.hardware
    if ours:
        fill_packet(mbuf, flags, ours, scratch())


def left_to_us(flags: int, hardware: int) -> int:
    """Those of the flags asked for that the port does not do. An outer checksum covers the inner ones: who does it does
    them all."""
    ours = flags & (m.TX_OUTER_IP_CKSUM | m.TX_OUTER_UDP_CKSUM) & ~hardware
    if ours & m.TX_OUTER_UDP_CKSUM or (flags & OUTER and hardware & HARDWARE_TUNNELS == 0):
        return ours | flags & INNER
    kind = flags >> L4_SHIFT & 3
    if kind and hardware >> kind & 1 == 0:
        ours |= flags & m.TX_L4_MASK
    return ours | flags & m.TX_IP_CKSUM & ~hardware


def fill_packet(mbuf: int, flags: int, ours: int, room: int) -> None:
    data, size = front_of(mbuf, room)
    lengths = load64(mbuf + m.TX_OFFLOAD)
    outer_l3 = shift_right(lengths, m.OUTER_L2_SHIFT) & m.OUTER_L2_MASK
    outer_l4 = outer_l3 + (shift_right(lengths, m.OUTER_L3_SHIFT) & m.OUTER_L3_MASK)
    l3 = (outer_l4 if flags & OUTER else 0) + (lengths & m.L2_MASK)
    l4 = l3 + (lengths >> m.L3_SHIFT & m.L3_MASK)
    fill_headers(mbuf, data, size, ours, shape_of(ours), outer_l3, outer_l4, l3, l4)
    store64(mbuf + m.OL_FLAGS, flags & ~ours)


def shape_of(flags: int) -> int:
    """The transport whose checksum is asked for."""
    kind = flags & m.TX_L4_MASK
    if kind == m.TX_TCP_CKSUM:
        return h.TCP
    return h.UDP if kind == m.TX_UDP_CKSUM else h.SCTP if kind == m.TX_SCTP_CKSUM else 0


@apart
def fill_headers(
    mbuf: int, data: int, size: int, ours: int, shape: int, outer_l3: int, outer_l4: int, l3: int, l4: int
) -> None:
    """`ours` of the headers that are there, of which `size` bytes are at `data`: inner ones first, as the outer
    checksum covers them."""
    if ours & m.TX_IP_CKSUM:
        fill_ip(mbuf, data, size, l3, l4)
    if shape:
        fill_l4(mbuf, data, size, shape, l3, l4)
    if ours & m.TX_OUTER_UDP_CKSUM:
        fill_l4(mbuf, data, size, h.UDP, outer_l3, outer_l4)
    if ours & m.TX_OUTER_IP_CKSUM:
        fill_ip(mbuf, data, size, outer_l3, outer_l4)


def fill_ip(mbuf: int, data: int, size: int, l3: int, l4: int) -> None:
    """RFC 791 section 3.1: over the header, options included."""
    if l4 <= size and l4 >= l3 + 20:
        total = sum_words(data + l3, 10) + sum_words(data + l3 + 12, l4 - l3 - 12)
        write16(mbuf, l3 + 10, checksum_of(total))


def fill_l4(mbuf: int, data: int, size: int, shape: int, l3: int, l4: int) -> None:
    """A checksum that lengths do not allow for is left as it is."""
    at = l4 + field_of(shape)
    if at + (4 if shape & h.SCTP else 2) > size:
        return
    version = load8(data + l3) >> 4
    if (version != 4 or l4 < l3 + 20) and (version != 6 or l4 < l3 + 40):
        return
    end = covered_end(data, load32(mbuf + m.PKT_LEN), version == 4, shape, l3, l4)
    if end == NOT_HERE:
        return
    if shape & h.SCTP:
        crc = sctp_checksum(mbuf, l4, end)
        write16(mbuf, at, crc & 0xFFFF)
        write16(mbuf, at + 2, crc >> 16)
        return
    pseudo = 0
    if version == 6 and is_routed(data, l3, l4):
        pseudo = load16(data + at)
    elif shape & h.ICMP == 0:
        pseudo = pseudo_sum(data, version == 4, l3, protocol_of(shape), end - l4)
    # What is before the checksum and behind it, so that it need not be 0 meanwhile.
    checksum = checksum_of(pseudo + sum_words(data + l4, at - l4) + sum_packet(mbuf, at + 2, end))
    if shape & h.UDP and checksum == 0:
        checksum = 0xFFFF  # RFC 768: 0 says that there is none
    write16(mbuf, at, checksum)
