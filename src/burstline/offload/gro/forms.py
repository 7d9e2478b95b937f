"""The forms of frames that GRO merges, and which bits of their headers two packets must share to be merged.

A form is where the headers are: VLAN tags, IPv4 or IPv6 without options, perhaps VXLAN with an inner frame, and TCP or
UDP. Its mask has zeros in what differs from segment to segment, and in what has a rule of its own.
"""

from __future__ import annotations

import itertools

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct

ROOM = 192  # bytes of a mask: whole vectors
LONGEST = 176  # bytes of headers, at most: what is left of the room has another use in what is held
TAGS, INNER_TAGS = 2, 1  # VLAN tags at most, outside and inside a tunnel
TCP_LIMIT, UDP_LIMIT = 65535, 64  # packets in one; of datagrams: UDP_GRO_CNT_MAX, net/ipv4/udp_offload.c
SIX, TUNNEL, UDP = 10, 2, 1  # what the number of a form is made of
TAG = 2 * SIX
COUNT = TAG * (TAGS + 1)


class Form(Struct):
    """Behind the mask. Offsets are of bytes; masks are 0 where the form has no such field."""

    l3: i64
    l4: i64
    outer_l3: i64  # 0 without a tunnel
    outer_l4: i64
    sequence: i64  # mask of TCP's sequence number
    ident: i64  # mask of the IP-ID
    outer_ident: i64
    limit: i64  # packets in one


FORM = ROOM + Form.layout.size


def number(tags: int, six: int, inner: int, udp: int) -> int:
    """`inner` is 0 without a tunnel, else 1 + 2 * its VLAN tags + 1 for IPv6."""
    return tags * TAG + six * SIX + inner * TUNNEL + udp


def table() -> bytes:
    """All forms, by their number."""
    return b"".join(
        _form(tags, six, inner, udp)
        for tags, six, inner, udp in itertools.product(range(TAGS + 1), (0, 1), range(2 * INNER_TAGS + 3), (0, 1))
    )


def _form(tags: int, six: int, inner: int, udp: int) -> bytes:
    mask = bytearray(b"\xff" * ROOM)
    first = l3 = 14 + 4 * tags
    first_six = six
    behind = l4 = _ip(mask, l3, six)
    if inner:
        _udp(mask, behind)
        inner_tags, six = divmod(inner - 1, 2)
        l3 = behind + 8 + 8 + 14 + 4 * inner_tags
        l4 = _ip(mask, l3, six)
    if udp:
        _udp(mask, l4)
    else:
        _tcp(mask, l4)
    values = {
        "l3": l3,
        "l4": l4,
        "outer_l3": first if inner else 0,
        "outer_l4": behind if inner else 0,
        "sequence": 0 if udp else 0xFFFFFFFF,
        "ident": 0 if six else 0xFFFF,
        "outer_ident": 0xFFFF if inner and not first_six else 0,
        "limit": UDP_LIMIT if udp else TCP_LIMIT,
    }
    return bytes(mask) + b"".join(values[slot.name].to_bytes(8, "little") for slot in Form.layout)


def _free(mask: bytearray, at: int, size: int) -> None:
    mask[at : at + size] = bytes(size)


def _ip(mask: bytearray, l3: int, six: int) -> int:
    """Lengths differ, and IPv4's identification and checksum (RFC 791 section 3.1, RFC 8200 section 3)."""
    if six:
        _free(mask, l3 + 4, 2)
        return l3 + 40
    _free(mask, l3 + 2, 4)
    _free(mask, l3 + 10, 2)
    return l3 + 20


def _tcp(mask: bytearray, l4: int) -> None:
    """The sequence number, FIN, PSH and CWR, the checksum (RFC 9293 section 3.1; net/ipv4/tcp_offload.c,
    tcp_gro_receive). The acknowledgement, the window and all options are the same."""
    _free(mask, l4 + 4, 4)
    mask[l4 + 13] = 0xFF & ~(0x01 | 0x08 | 0x80)
    _free(mask, l4 + 16, 2)


def _udp(mask: bytearray, l4: int) -> None:
    _free(mask, l4 + 4, 4)
