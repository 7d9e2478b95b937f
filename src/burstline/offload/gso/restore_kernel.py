"""Segments that are where they came: of a packet that GRO merged, each payload lies in the mbuf that it was received
in, behind the place of the headers that were taken from it. They are written there again, and nothing is shared or
copied; to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load16, load64, prefetch, prefetch_to_write, store16, store64
from burstline.offload import mbuf as m
from burstline.offload.gso.gso import TEMPLATE
from burstline.offload.gso.segment_kernel import finish_headers, set_size, start_mbuf
from burstline.packet.checksum_kernel import sum16_in_vectors
from burstline.simd import u64x4, u64x8
from burstline.simd.memory import load_vector, store_vector

LEAST = 32  # bytes of headers: those of Ethernet, IP and UDP have more


def can_restore(cut: Any, mbuf: int, out: int) -> bool:
    """Whether each segment's payload is in an mbuf of its own, which nobody else has, with room for the headers. Their
    addresses are at `out` then."""
    before, left = cut.size, cut.payload  # bytes before the payload, in the mbuf already; the first has the headers
    number = 0
    while mbuf and number < cut.segments:
        payload = min(cut.segsz, left)
        if load16(mbuf + m.DATA_LEN) != before + payload or load16(mbuf + m.REFCNT) != 1:
            return False
        start = load16(mbuf + m.DATA_OFF) + before - cut.size
        if start < 0 or load64(mbuf + m.OL_FLAGS) & (m.INDIRECT | m.EXTERNAL):
            return False
        prefetch_to_write(load64(mbuf + m.BUF_ADDR) + start)
        store64(out + 8 * number, mbuf)
        number += 1
        left -= payload
        before = 0
        mbuf = load64(mbuf + m.NEXT)
    return number == cut.segments and mbuf == 0


def restore(state: Any, cut: Any, out: int) -> None:
    work, size = state.work, cut.size
    sums = load64(load64(out) + m.OL_FLAGS) & state.sums
    first = load64(out)
    if cut.l4_here:  # its sum is not known, for stages saw it: it is dealt with last, when it is in the cache
        for at in range(0, cut.segsz, 64):
            prefetch(load64(first + m.BUF_ADDR) + load16(first + m.DATA_OFF) + size + at)
    for k in range(cut.segments):
        number = k + 1 if k + 1 < cut.segments else 0
        mbuf, payload = load64(out + 8 * number), min(cut.segsz, cut.payload - number * cut.segsz)
        start = load16(mbuf + m.DATA_OFF) - (size if number else 0)
        known = load64(mbuf + m.OL_FLAGS) & sums if number else 0
        total, private = load16(mbuf + m.HASH), load16(mbuf + m.PRIV_SIZE)
        start_mbuf(work, mbuf)
        store16(mbuf + m.PRIV_SIZE, private)
        store16(mbuf + m.DATA_OFF, start)
        store16(mbuf + m.DATA_LEN, size + payload)
        set_size(mbuf, size + payload, 1)
        headers = load64(mbuf + m.BUF_ADDR) + start
        write_headers(headers, work + TEMPLATE, size)
        if cut.l4_here and not known:
            total = sum16_in_vectors(headers + size, 0, payload)
        finish_headers(cut, headers, number, payload, total)


def write_headers(to: int, template: int, size: int) -> None:
    """Not a byte more, for the payload is behind them: the last vector overlaps the one before it."""
    if size < 64:
        write_half_line(to, template)
        write_half_line(to + size - LEAST, template + size - LEAST)
        return
    for at in range(0, size - 64, 64):
        write_line(to + at, template + at)
    write_line(to + size - 64, template + size - 64)


def write_line(to: int, source: int) -> None:
    line: Any = load_vector(u64x8, source)
    store_vector(to, line)


def write_half_line(to: int, source: int) -> None:
    half: Any = load_vector(u64x4, source)
    store_vector(to, half)
