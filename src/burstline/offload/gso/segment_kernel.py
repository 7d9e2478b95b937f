"""A segment's mbuf and its headers, from those that all segments of the packet have in common; to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import copy, load16, load32, put16, store16, store32, store64, swap32
from burstline.offload import mbuf as m
from burstline.offload.gso.gso import HEAD
from burstline.offload.gso.template_kernel import CWR, FIN_PSH, put_lengths
from burstline.packet.checksum import folded
from burstline.simd import u64x4, u64x8
from burstline.simd.memory import load_vector, store_vector


def start_mbuf(work: int, mbuf: int) -> None:
    """All of the image but what belongs to the mbuf: its buffer, its pool. The size of its private data is the same in
    all of a pool, and in the image."""
    image = work + HEAD
    part: Any = load_vector(u64x4, image + m.DATA_OFF)
    store_vector(mbuf + m.DATA_OFF, part)
    store32(mbuf + m.HASH + 4, load32(image + m.HASH + 4))
    store16(mbuf + m.HASH + 8, load16(image + m.HASH + 8))  # vlan_tci_outer
    line: Any = load_vector(u64x8, image + m.NEXT)
    store_vector(mbuf + m.NEXT, line)


def start_headers(headers: Any, template: int, size: int, room: int) -> None:
    """In whole cache lines, as far as there is room behind them."""
    if (size + 63) & ~63 > room:
        copy(headers, template, size)
        return
    for at in range(0, size, 64):
        line: Any = load_vector(u64x8, template + at)
        store_vector(headers + at, line)


def finish_headers(cut: Any, headers: Any, number: int, size: int, total: int) -> None:
    """What differs from segment to segment. `size` bytes of payload lie behind them, whose sum is `total` where the
    transport's checksum is computed here."""
    word, last = cut.middle, number == cut.segments - 1
    if number == 0 or last:
        if cut.tcp:
            word = cut.word & ~((0 if last else FIN_PSH) | (CWR if number else 0))
            put16(headers, cut.l4 + 12, word)
        put_lengths(cut, headers, size)
    if cut.v4:
        finish_ip(headers + cut.l3, cut.id + number * cut.id_step, cut.length_base + size, cut.ip_sum, cut.ip_here)
    length = cut.size - cut.l4 + size
    if cut.tcp:
        seq = cut.seq + number * cut.segsz & 0xFFFFFFFF
        store32(headers + cut.l4 + 4, swap32(seq))
        if cut.l4_here:
            put16(headers, cut.l4 + 16, folded(cut.l4_sum + length + (seq >> 16) + (seq & 0xFFFF) + word + total))
    elif cut.l4_here:
        put16(headers, cut.l4 + 6, not_zero(folded(cut.l4_sum + 2 * length + total)))
    if cut.outer_l4:
        finish_tunnel(cut, headers, number, size)


def finish_ip(ip: Any, identification: int, length: int, total: int, here: int) -> None:
    put16(ip, 4, identification)
    if here:
        put16(ip, 10, folded(total + length + (identification & 0xFFFF)))


def finish_tunnel(cut: Any, headers: Any, number: int, size: int) -> None:
    if cut.outer_v4:
        length = cut.outer_length_base + size
        identification = cut.outer_id + number * cut.outer_id_step
        finish_ip(headers + cut.outer_l3, identification, length, cut.outer_ip_sum, cut.outer_ip_here)
    if cut.outer_check_here:
        total = cut.outer_sum + folded(cut.pseudo + cut.size - cut.l4 + size)
        if not cut.v4:
            total += cut.length_base + size
        if cut.udp_tunnel:
            put16(headers, cut.outer_check, not_zero(folded(total + 2 * (cut.size - cut.outer_l4 + size))))
        else:
            put16(headers, cut.outer_check, folded(total))


def not_zero(checksum: int) -> int:
    """RFC 768: zero says that there is none."""
    return checksum if checksum else 0xFFFF


def set_size(mbuf: int, size: int, mbufs: int) -> None:
    """Of a frame, and in how many mbufs it lies."""
    store32(mbuf + m.PKT_LEN, size)
    store16(mbuf + m.NB_SEGS, mbufs)


def link(mbuf: int, following: int) -> None:
    store64(mbuf + m.NEXT, following)
