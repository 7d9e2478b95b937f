"""What a transport's checksum covers, and where it is; to be compiled. Headers are those of `headers.find_headers`."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import copy, load8, load16, load32, load64, store8, store16, swap16
from burstline.offload import headers as h
from burstline.offload import mbuf as m
from burstline.offload.checksums.sum_kernel import data_of, halves, sum_words

FRONT = 256  # bytes of a packet that headers are looked for in, where they lie in several mbufs
NOT_HERE = -1


def front_of(mbuf: int, room: int) -> tuple[Any, int]:
    """The first bytes of a packet in one piece, and how many: in place, where the first mbuf holds enough of them, or
    copied to `room`."""
    size = load16(mbuf + m.DATA_LEN)
    whole = load32(mbuf + m.PKT_LEN)
    if size >= FRONT or size >= whole:
        return data_of(mbuf), size
    wanted = min(whole, FRONT)
    had = 0
    while had < wanted and mbuf != 0:
        part = min(load16(mbuf + m.DATA_LEN), wanted - had)
        copy(room + had, data_of(mbuf), part)
        had += part
        mbuf = load64(mbuf + m.NEXT)
    return room, had


def write16(mbuf: int, at: int, value: int) -> None:
    """Two bytes of a packet, which are there, as they lie in memory; maybe in two mbufs."""
    while at >= load16(mbuf + m.DATA_LEN):
        at -= load16(mbuf + m.DATA_LEN)
        mbuf = load64(mbuf + m.NEXT)
    if at + 2 <= load16(mbuf + m.DATA_LEN):
        store16(data_of(mbuf) + at, value)
        return
    store8(data_of(mbuf) + at, value)
    mbuf = load64(mbuf + m.NEXT)
    while load16(mbuf + m.DATA_LEN) == 0:
        mbuf = load64(mbuf + m.NEXT)
    store8(data_of(mbuf), value >> 8)


def is_routed(data: int, l3: int, l4: int) -> bool:
    """IPv6 with a routing header that has segments left: the address in the pseudo header is the final one, which is in
    there (RFC 8200 section 8.1), in a way that depends on its type."""
    at, proto = l3 + 40, load8(data + l3 + 6)
    while at < l4:
        if proto == 43 and load8(data + at + 3) > 0:
            return True
        proto, at = load8(data + at), at + (load8(data + at + 1) + 1) * 8
    return False


def payload_end(data: int, v4: bool, l3: int) -> int:
    """Where the payload of IP ends by its length field; where it begins, for a jumbogram (RFC 2675)."""
    if v4:
        return l3 + swap16(load16(data + l3 + 2))
    return l3 + 40 + swap16(load16(data + l3 + 4))


def covered_end(data: int, whole: int, v4: bool, shape: int, l3: int, l4: int) -> int:
    """Where what the transport's checksum covers ends, of a packet of `whole` bytes; NOT_HERE where lengths do not fit
    each other or bytes are missing."""
    end = payload_end(data, v4, l3)
    least = 20 if shape & h.TCP else 12 if shape & h.SCTP else 4 if shape & h.ICMPV6 else 8
    if end > whole or end < l4 + least:
        return NOT_HERE
    if shape & h.UDP:
        length = swap16(load16(data + l4 + 4))
        if length < 8 or l4 + length > end:
            return NOT_HERE
        end = l4 + length
    return end


def protocol_of(shape: int) -> int:
    """Of those with a pseudo header."""
    return 6 if shape & h.TCP else 17 if shape & h.UDP else 58


def pseudo_sum(data: int, v4: bool, l3: int, proto: int, size: int) -> int:
    """RFC 9293 section 3.1, RFC 8200 section 8.1: what a transport's checksum covers besides its `size` bytes."""
    fixed = swap16(proto) + swap16(size & 0xFFFF) + swap16(size >> 16)
    if v4:
        return fixed + load32(data + l3 + 12) + load32(data + l3 + 16)
    addresses = data + l3 + 8
    return (
        fixed + halves(load64(addresses)) + halves(load64(addresses + 8)) + halves(load64(addresses + 16))
        + halves(load64(addresses + 24))
    )  # fmt: skip


def header_sum(data: int, l3: int) -> int:
    """Of an IPv4 header, which is there with all its options."""
    return sum_words(data + l3, (load8(data + l3) & 15) * 4)


def field_of(shape: int) -> int:
    """Where the checksum is in the transport header; SCTP's is of 32 bits."""
    return 16 if shape & h.TCP else 6 if shape & h.UDP else 8 if shape & h.SCTP else 2
