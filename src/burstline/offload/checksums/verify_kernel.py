"""Checksums of received packets, marked as a NIC marks them; the compiled half of `checksum.py`.

Plain packets (Ethernet, IPv4 without options, TCP, in one mbuf) are looked at where they are; all others go by the
headers that `find_headers` finds.
"""

from __future__ import annotations

from burstline.native.build import apart
from burstline.native.memory import load8, load16, load32, load64, prefetch, shift_right, store64, swap16
from burstline.offload import headers as h
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import Checksums
from burstline.offload.checksums.covered_kernel import (
    NOT_HERE,
    covered_end,
    field_of,
    front_of,
    header_sum,
    is_routed,
    protocol_of,
    pseudo_sum,
    write16,
)
from burstline.offload.checksums.crc32c_kernel import sctp_checksum
from burstline.offload.checksums.sum_kernel import checksum_of, data_of, folded, halves, is_right, sum_here, sum_packet
from burstline.offload.headers import find_headers
from burstline.simd.memory import scratch

# Lines that are asked for ahead of use; of a large packet the first bytes of the next one, and the CPU does the rest.
WINDOW, LARGE, FIRST = 32, 1024, 256
LOW = 0xFFFFFFFF

OUTER_L4_MASK = m.RX_OUTER_L4_CKSUM_BAD | m.RX_OUTER_L4_CKSUM_GOOD
SEEN = m.RX_IP_CKSUM_NONE | m.RX_L4_CKSUM_NONE | m.RX_LRO
PLAIN_GOOD = m.RX_IP_CKSUM_GOOD | m.RX_L4_CKSUM_GOOD
GOOD = PLAIN_GOOD | m.RX_OUTER_L4_CKSUM_GOOD


def verify(state: Checksums, mbufs: int, n: int) -> int:
    """Marks `n` packets; returns how many have a wrong checksum."""
    room = scratch()
    plain = bad = 0
    ahead = min(n, packets_ahead(load64(mbufs))) if n > 0 else 0
    for i in range(ahead):
        fetch(load64(mbufs + 8 * i))
    for i in range(n):
        if i + ahead < n:
            fetch(load64(mbufs + 8 * (i + ahead)))
        mbuf = load64(mbufs + 8 * i)
        flags = load64(mbuf + m.OL_FLAGS)
        if flags & SEEN != 0 and is_looked_at(mbuf, flags):
            plain += 1
        elif is_plain_and_right(mbuf, flags):
            store64(mbuf + m.OL_FLAGS, flags | PLAIN_GOOD)
            plain += 1
        else:
            bad += mark(state, mbuf, flags, room)
    state.good += plain
    return bad


def packets_ahead(mbuf: int) -> int:
    """How far ahead of use to ask for packets like this one."""
    size = bytes_read(mbuf)
    return 1 if size > LARGE else WINDOW // (1 + (size + 63) // 64)


def bytes_read(mbuf: int) -> int:
    """Of a packet that was looked at already, no more than its headers."""
    size = load16(mbuf + m.DATA_LEN)
    return min(size, 64) if load64(mbuf + m.OL_FLAGS) & m.RX_L4_CKSUM_NONE else size


def fetch(mbuf: int) -> None:
    data, size = data_of(mbuf), bytes_read(mbuf)
    prefetch(data)
    for k in range(64, FIRST if size > LARGE else size, 64):
        prefetch(data + k)


def is_looked_at(mbuf: int, flags: int) -> bool:
    """The port has found all checksums right that there are in a plain packet."""
    if load16(mbuf + m.DATA_LEN) < 54:
        return False
    data = data_of(mbuf)
    kind = load64(data + 12)
    if kind & 0xFFFFFF == 0x450008:
        return (flags & SEEN == PLAIN_GOOD) & (load8(data + 23) == 6)
    return (kind & 0xF0FFFF == 0x60DD86) & (flags & SEEN == m.RX_L4_CKSUM_GOOD) & (load8(data + 20) == 6)


def is_plain_and_right(mbuf: int, flags: int) -> bool:
    """A plain packet that nobody looked at yet, whose checksums are right."""
    size = load16(mbuf + m.DATA_LEN)
    if (size < 54) | (flags & SEEN != 0):
        return False
    data = data_of(mbuf)
    kind = load64(data + 12)  # EtherType, version, TOS, length, ID
    if kind & 0xFFFFFF != 0x450008:
        return False
    first, second, dst = load64(data + 14), load64(data + 22), load32(data + 30)
    length = swap16(shift_right(kind, 32) & 0xFFFF)
    is_other = (second & 0xFF00 != 0x0600) | (shift_right(first, 48) & 0xFF3F != 0)  # not TCP, or a fragment
    if is_other | (length < 40) | (length + 14 > size):
        return False
    header = (load8(data + 46) >> 4) * 4
    if (header < 20) | (header + 34 > size):
        return False
    src = shift_right(second, 32)
    of_ip = halves(first) + (second & LOW) + src + dst
    of_tcp = src + dst + swap16(6) + swap16(length - 20) + sum_here(data + 34, length - 20)
    return is_right(of_ip) & is_right(of_tcp)


@apart
def mark(state: Checksums, mbuf: int, flags: int, room: int) -> int:
    """Any packet; returns 1 when a checksum is wrong. What the driver said stands, and of segments that were merged
    by hardware nothing is asked: it looked at them before it made one of them, and need not keep the sums right."""
    if flags & m.RX_LRO == 0:
        flags |= found_flags(mbuf, flags, state.partial, room)
        store64(mbuf + m.OL_FLAGS, flags)
    l4 = flags & m.RX_L4_CKSUM_NONE
    if is_bad(flags):
        state.bad += 1
        return 1
    if l4 == m.RX_L4_CKSUM_NONE:
        state.partials += 1
    elif flags & GOOD:
        state.good += 1
    else:
        state.none += 1
    return 0


def is_bad(flags: int) -> bool:
    """The port, or software in its place, has found a wrong checksum."""
    return (
        flags & m.RX_IP_CKSUM_NONE == m.RX_IP_CKSUM_BAD
        or flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD
        or flags & m.RX_OUTER_IP_CKSUM_BAD != 0
        or flags & OUTER_L4_MASK == m.RX_OUTER_L4_CKSUM_BAD
    )


def found_flags(mbuf: int, flags: int, partial: int, room: int) -> int:
    """What to add to the flags of a packet."""
    data, size = front_of(mbuf, room)
    whole = load32(mbuf + m.PKT_LEN)
    shape, outer_l3, outer_l4, l3, l4, _ = find_headers(data, size)
    found = 0
    if shape & h.V4 and flags & m.RX_IP_CKSUM_NONE == 0:
        found |= m.RX_IP_CKSUM_GOOD if is_right(header_sum(data, l3)) else m.RX_IP_CKSUM_BAD
    if shape & h.L4 and flags & m.RX_L4_CKSUM_NONE == 0:
        found |= transport_flags(mbuf, data, whole, shape, l3, l4, partial)
    if shape & h.TUNNEL:
        if shape & h.OUTER_V4 and not is_right(header_sum(data, outer_l3)):
            found |= m.RX_OUTER_IP_CKSUM_BAD
        if shape & h.VXLAN and flags & OUTER_L4_MASK == 0:
            inner = (flags | found) & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_NONE and shape & (h.TCP | h.UDP) != 0
            found |= outer_flags(mbuf, data, whole, shape, outer_l3, outer_l4, l3, l4, inner, partial)
    return found


def transport_flags(mbuf: int, data: int, whole: int, shape: int, l3: int, l4: int, partial: int) -> int:
    """Of the (inner) transport header; 0 where there is no checksum, or it cannot be told."""
    v4 = shape & h.V4 != 0
    end = covered_end(data, whole, v4, shape, l3, l4)
    if end == NOT_HERE or (not v4 and is_routed(data, l3, l4)):
        return 0
    written = load16(data + l4 + field_of(shape))
    if shape & h.SCTP:
        written = load32(data + l4 + 8)
        if sctp_checksum(mbuf, l4, end) == written:
            return m.RX_L4_CKSUM_GOOD
        # A stack that leaves it to the device writes no part of it (Linux: net/sctp/output.c).
        return m.RX_L4_CKSUM_NONE if partial and written == 0 else m.RX_L4_CKSUM_BAD
    if shape & h.UDP and written == 0:
        return 0 if v4 else m.RX_L4_CKSUM_BAD  # RFC 768: the sender made none; RFC 8200 section 8.1: it must
    has_pseudo = shape & h.ICMP == 0
    pseudo = pseudo_sum(data, v4, l3, protocol_of(shape), end - l4) if has_pseudo else 0
    if folded(pseudo + sum_packet(mbuf, l4, end)) == 0xFFFF:
        return m.RX_L4_CKSUM_GOOD
    is_partial = partial and shape & (h.TCP | h.UDP) and written == folded(pseudo)
    return m.RX_L4_CKSUM_NONE if is_partial else m.RX_L4_CKSUM_BAD


def outer_flags(
    mbuf: int, data: int, whole: int, shape: int, l3: int, l4: int, inner_l3: int, inner_l4: int, inner: bool,
    partial: int,
) -> int:  # fmt: skip
    """Of the UDP header around VXLAN. Without a checksum it gets no flag, over IPv6 too (RFC 6935 section 5). With
    `inner`, the packet within is partial."""
    v4 = shape & h.OUTER_V4 != 0
    end = covered_end(data, whole, v4, h.UDP, l3, l4)
    written = load16(data + l4 + 6)
    if end == NOT_HERE or written == 0 or (not v4 and is_routed(data, l3, l4)):
        return 0
    pseudo = pseudo_sum(data, v4, l3, 17, end - l4)
    total = folded(pseudo + sum_packet(mbuf, l4, end))
    if inner:
        total = folded(total + (inner_change(mbuf, data, whole, shape, inner_l3, inner_l4) ^ 0xFFFF))
    if total == 0xFFFF:
        return m.RX_OUTER_L4_CKSUM_GOOD
    if partial and written == folded(pseudo):
        # There is no flag for a partial one here: it is made whole.
        write16(mbuf, l4 + 6, udp_checksum(total + (written ^ 0xFFFF)))
        return m.RX_OUTER_L4_CKSUM_GOOD
    return m.RX_OUTER_L4_CKSUM_BAD


def inner_change(mbuf: int, data: int, whole: int, shape: int, l3: int, l4: int) -> int:
    """By how much the sum over a partial packet falls when its checksum is filled in. All that this checksum covers
    adds up to the complement of the pseudo header then, whatever it is (Linux: Documentation/networking/
    checksum-offloads.rst, "LCO")."""
    v4 = shape & h.V4 != 0
    end = covered_end(data, whole, v4, shape, l3, l4)
    if end == NOT_HERE:
        return 0
    pseudo = pseudo_sum(data, v4, l3, protocol_of(shape), end - l4)
    return folded(pseudo + sum_packet(mbuf, l4, end))


def udp_checksum(total: int) -> int:
    """RFC 768: one that comes out as 0 is sent as all ones."""
    checksum = checksum_of(total)
    return checksum if checksum else 0xFFFF
