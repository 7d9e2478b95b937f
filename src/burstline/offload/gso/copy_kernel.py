"""Segments that are whole in one mbuf each, to which the payload is copied, for ports that take no others; to be
compiled."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import call_with_three, call_with_two, copy, load16, load64, store16, store64
from burstline.offload import mbuf as m
from burstline.offload.gso.gso import GIVEN, HEAD, TEMPLATE
from burstline.offload.gso.segment_kernel import finish_headers, set_size, start_headers, start_mbuf
from burstline.packet.checksum_kernel import sum16_in_vectors


def copy_all(state: Any, cut: Any, mbuf: int, out: int) -> bool:
    """Whether the segments were made; otherwise it is counted why not."""
    if bytes_in(mbuf) < cut.size + cut.payload:
        state.refused += 1
        return False
    room, fits, pools = 0, 0, state.copies
    while room == 0 and load64(pools):
        if load64(pools) >= cut.size + min(cut.segsz, cut.payload):
            fits = 1
            if call_with_three(state.take, load64(pools + 8), out, cut.segments) == 0:
                room = load64(pools)
        pools += 16
    if room == 0:
        state.no_buffers += fits
        state.refused += 1 - fits
        return False
    store16(state.work + HEAD + m.PRIV_SIZE, load16(load64(out) + m.PRIV_SIZE))
    make_copies(state, cut, mbuf, out, room)
    store64(state.work + GIVEN, mbuf)
    call_with_two(state.free, state.work + GIVEN, 1)
    return True


def bytes_in(mbuf: int) -> int:
    total = 0
    while mbuf:
        total += load16(mbuf + m.DATA_LEN)
        mbuf = load64(mbuf + m.NEXT)
    return total


def make_copies(state: Any, cut: Any, mbuf: int, out: int, room: int) -> None:
    work, headroom, segsz, size, left = state.work, state.headroom, cut.segsz, cut.size, cut.payload
    part, at = mbuf, size
    for number in range(cut.segments):
        head, payload = load64(out + 8 * number), min(segsz, left)
        start_mbuf(work, head)
        headers = load64(head + m.BUF_ADDR) + headroom
        start_headers(headers, work + TEMPLATE, size, room)
        into = 0
        while into < payload:
            have = load16(part + m.DATA_LEN) - at
            if have <= 0:
                at -= load16(part + m.DATA_LEN)
                part = load64(part + m.NEXT)
            else:
                n = min(have, payload - into)
                copy(headers + size + into, load64(part + m.BUF_ADDR) + load16(part + m.DATA_OFF) + at, n)
                into += n
                at += n
        left -= payload
        set_size(head, size + payload, 1)
        store16(head + m.DATA_LEN, size + payload)
        total = sum16_in_vectors(headers + size, 0, payload) if cut.l4_here else 0
        finish_headers(cut, headers, number, payload, total)
