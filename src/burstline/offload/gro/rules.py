"""What may be merged with what is held of its flow: Linux's rules (net/ipv4/tcp_offload.c, net/ipv4/udp_offload.c,
net/ipv4/af_inet.c, net/ipv6/ip6_offload.c, include/net/gro.h)."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import be16, be32, load8, load64
from burstline.native.struct_type import struct_address
from burstline.offload.gro.forms import ROOM, Form
from burstline.offload.gro.gro import IMAGE, MARKS, TAGS, Gro, Held
from burstline.offload.gro.word import HEADER_SHIFT, JOINS, MARKED, PAYLOAD_SHIFT, SAME
from burstline.simd import u64x8
from burstline.simd.memory import load_vector

DF = 0x40  # in the first byte of IPv4's flags


def follows(state: Gro, held: Held, form: Form, data: Any, word: int, sort: int) -> bool:
    """Whether a packet may become part of what is held."""
    payload = word >> PAYLOAD_SHIFT
    wrong = (be32(data, form.l4 + 4) & form.sequence) ^ held.sequence
    wrong |= ((word ^ held.same) & SAME) | ((word & JOINS) ^ JOINS)
    wrong |= (held.segment - payload | held.limit - held.bytes - payload) >> 63  # it would be longer than it may be
    if wrong != 0 or differ(state, held, struct_address(form) - ROOM, data, word >> HEADER_SHIFT & 255):
        return False
    if be16(data, form.l3 + 4) & form.ident != held.ident:
        if not stays(held.count, held.step, held.ident, data, form.l3):
            return False
        held.step, held.ident = 0, be16(data, form.l3 + 4)
    if form.outer_l3 != 0 and be16(data, form.outer_l3 + 4) & form.outer_ident != held.outer_ident:
        if not stays(held.count, held.outer_step, held.outer_ident, data, form.outer_l3):
            return False
        held.outer_step, held.outer_ident = 0, be16(data, form.outer_l3 + 4)
    if word & MARKED:
        at = struct_address(held)
        return load64(sort + 16) == load64(at + MARKS) and load64(sort + 24) == load64(at + TAGS)
    return True


def differ(state: Gro, held: Held, mask: int, data: Any, header: int) -> bool:
    """Whether headers differ where they must not. What follows them is covered up, and may be read: it is in the
    mbuf's room."""
    image, cover = struct_address(held) + IMAGE, state.covers + ROOM - header
    for line in range(0, header, 64):
        new: Any = load_vector(u64x8, data + line)
        old: Any = load_vector(u64x8, image + line)
        which: Any = load_vector(u64x8, mask + line)
        covered: Any = load_vector(u64x8, cover + line)
        if (((new ^ old) & which & covered) != 0).any():
            return True
    return False


def stays(count: int, step: int, ident: int, data: Any, l3: int) -> bool:
    """IP-IDs count up; or with DF they stay, which the second packet shows (include/net/gro.h, inet_gro_flush)."""
    is_second = count == 1 and step == 1 and load8(data + l3 + 6) & DF != 0
    return is_second and be16(data, l3 + 4) == ident - 1 & 0xFFFF
