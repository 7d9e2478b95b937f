"""Segments that share the payload of the packet they are cut from: a header of their own, then indirect mbufs, of which
each is a piece of one of the packet's buffers; to be compiled.

References are counted as rte_pktmbuf_attach does, but once for all pieces of a buffer: an atomic addition is dear. https://doc.dpdk.org/guides-22.11/prog_guide/mbuf_lib.html#direct-and-indirect-buffers
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import (
    call_with_three,
    call_with_two,
    fetch_add16,
    load16,
    load64,
    store16,
    store32,
    store64,
    swap16,
    unsigned_divide,
)
from burstline.offload import mbuf as m
from burstline.offload.gso.gso import GIVEN, HEAD, PIECE, PIECES, TEMPLATE
from burstline.offload.gso.segment_kernel import finish_headers, link, set_size, start_headers, start_mbuf
from burstline.offload.gso.template_kernel import store_image
from burstline.packet.checksum_kernel import sum16_in_vectors
from burstline.simd import u64x8
from burstline.simd.memory import load_vector, store_vector

MOST_REFERENCES = 65535
SHARED_REFCNT = 16  # of rte_mbuf_ext_shared_info


def share(state: Any, cut: Any, mbuf: int, out: int) -> bool:
    """Whether the segments were made; otherwise it is counted why not."""
    pieces, work = count_pieces(cut, mbuf), state.work
    if pieces < 0 or cut.size > state.headers_room:
        state.refused += 1
        return False
    piece = work + PIECES
    if pieces and call_with_three(state.take, state.indirect, piece, pieces) != 0:
        state.no_buffers += 1
        return False
    if call_with_three(state.take, state.headers, out, cut.segments) != 0:
        call_with_two(state.free, piece, pieces)
        state.no_buffers += 1
        return False
    end = piece + 8 * pieces
    store16(work + HEAD + m.PRIV_SIZE, load16(load64(out) + m.PRIV_SIZE))
    piece = make_segments(state, cut, mbuf, out, piece)
    if piece < end:  # others gave up their references meanwhile
        call_with_two(state.free, piece, (end - piece) >> 3)
    return True


def count_pieces(cut: Any, mbuf: int) -> int:
    """How many indirect mbufs are needed; -1 if a buffer had too many references then, or the packet ends early."""
    segsz, left = cut.segsz, cut.payload
    skipped, into, pieces = cut.size, 0, 0
    while mbuf and left:
        size = load16(mbuf + m.DATA_LEN)
        if size <= skipped:
            skipped -= size
        else:
            size = min(size - skipped, left)
            skipped = 0
            left -= size
            here = pieces_of(into, size, segsz)
            if not is_whole(mbuf, here):
                if load16(counter_of(mbuf)) + here > MOST_REFERENCES:
                    return -1
                pieces += here
            into += size
            if into >= segsz:
                into -= segsz * (1 if into < 2 * segsz else unsigned_divide(into, segsz))
        mbuf = load64(mbuf + m.NEXT)
    return -1 if left else pieces


def pieces_of(into: int, size: int, segsz: int) -> int:
    """In how many segments so much payload lies that begins so far into one."""
    over = into + size - segsz
    return 1 if over <= 0 else 1 + unsigned_divide(over + segsz - 1, segsz)


def is_whole(mbuf: int, pieces: int) -> bool:
    """Whether the mbuf can be the piece itself: it is one, and nobody else has it."""
    return pieces == 1 and load16(mbuf + m.REFCNT) == 1


def counter_of(mbuf: int) -> int:
    """Where the references to the mbuf's buffer are counted: rte_mbuf.h, rte_pktmbuf_attach."""
    flags = load64(mbuf + m.OL_FLAGS)
    if flags & m.EXTERNAL:
        return load64(mbuf + m.SHINFO) + SHARED_REFCNT
    if flags & m.INDIRECT:
        mbuf = load64(mbuf + m.BUF_ADDR) - m.SIZE - load16(mbuf + m.PRIV_SIZE)
    return mbuf + m.REFCNT


def make_segments(state: Any, cut: Any, mbuf: int, out: int, piece: int) -> int:
    """Returns the first of the indirect mbufs that was not needed."""
    work, headroom, room = state.work, state.headroom, state.headers_room
    segsz, size, left, summed = cut.segsz, cut.size, cut.payload, cut.l4_here
    part, skipped, have, at, buffer, whole = mbuf, size, 0, 0, 0, 0
    for number in range(cut.segments):
        head = load64(out + 8 * number)
        start_mbuf(work, head)
        headers = load64(head + m.BUF_ADDR) + headroom
        start_headers(headers, work + TEMPLATE, size, room)
        last, mbufs, total, into, payload = head, 1, 0, 0, min(segsz, left)
        while into < payload:
            if have == 0:
                while load16(part + m.DATA_LEN) <= skipped:
                    skipped -= load16(part + m.DATA_LEN)
                    part = release(state, part)
                buffer, at = load64(part + m.BUF_ADDR), load16(part + m.DATA_OFF) + skipped
                have = min(load16(part + m.DATA_LEN) - skipped, left)
                following, skipped = load64(part + m.NEXT), 0
                whole = share_buffer(state, part, pieces_of(into, have, segsz))
                part = following
            n = min(have, payload - into)
            made = whole
            if not whole:
                made = load64(piece)
                piece += 8
                start_piece(work, made)
            store16(made + m.DATA_OFF, at)
            store16(made + m.DATA_LEN, n)
            store32(made + m.PKT_LEN, n)
            link(last, made)
            if summed:
                part_sum = sum16_in_vectors(buffer + at, 0, n)
                total += swap16(part_sum) if into & 1 else part_sum
            last = made
            mbufs += 1
            into += n
            at += n
            have -= n
            left -= n
        set_size(head, size + payload, mbufs)
        finish_headers(cut, headers, number, payload, total)
    while part:
        part = release(state, part)
    return piece


def share_buffer(state: Any, mbuf: int, pieces: int) -> int:
    """Count the references of so many pieces, one of which takes over that of the packet; the image is that of a piece
    then. Or return the mbuf, which is the piece."""
    if is_whole(mbuf, pieces):
        store64(mbuf + m.NEXT, 0)
        store16(mbuf + m.NB_SEGS, 1)
        return mbuf
    image, flags = state.work + PIECE, load64(mbuf + m.OL_FLAGS)
    store_image(image, mbuf, flags if flags & m.EXTERNAL else flags | m.INDIRECT)
    store64(image + m.POOL, state.indirect)
    counter = counter_of(mbuf)
    if counter == mbuf + m.REFCNT:
        add_references(counter, pieces - 1)
    else:
        add_references(counter, pieces)
        release(state, mbuf)
    return 0


def start_piece(work: int, mbuf: int) -> None:
    """All of the image, for all that is its own is the pool, and the image has that."""
    line: Any = load_vector(u64x8, work + PIECE)
    store_vector(mbuf, line)
    line = load_vector(u64x8, work + PIECE + 64)
    store_vector(mbuf + 64, line)


def add_references(counter: int, n: int) -> None:
    """Who has the only one has nobody to race with (rte_mbuf_refcnt_update)."""
    if load16(counter) == 1:
        store16(counter, 1 + n)
    elif n:
        fetch_add16(counter, n)


def release(state: Any, mbuf: int) -> int:
    """Give up the reference to this mbuf (rte_pktmbuf_free_seg), and return the one behind it."""
    following = load64(mbuf + m.NEXT)
    if load16(mbuf + m.REFCNT) != 1:
        if fetch_add16(mbuf + m.REFCNT, -1) != 1:
            return following
        store16(mbuf + m.REFCNT, 1)
    store64(mbuf + m.NEXT, 0)
    store16(mbuf + m.NB_SEGS, 1)
    store64(state.work + GIVEN, mbuf)
    call_with_two(state.free, state.work + GIVEN, 1)
    return following
