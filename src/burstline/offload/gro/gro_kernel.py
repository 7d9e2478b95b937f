"""GRO over the mbufs of a burst: `gro.py` says how what is held is kept."""

from __future__ import annotations

from typing import Any

from burstline.native.build import apart
from burstline.native.memory import (
    be16,
    be32,
    load8,
    load16,
    load32,
    load64,
    prefetch,
    prefetch_to_write,
    shift_right,
    store16,
    store32,
    store64,
)
from burstline.native.struct_type import reference
from burstline.offload.gro.forms import FORM, ROOM, Form
from burstline.offload.gro.gro import CHUNK, HELD, IMAGE, LINE, MARKS, RECORD, SORTED, TAGS, WAYS, Gro, Held
from burstline.offload.gro.merged_kernel import make_merged
from burstline.offload.gro.payload_sum_kernel import keep_payload_sum
from burstline.offload.gro.rules import follows
from burstline.offload.gro.sort_kernel import sort_packets
from burstline.offload.gro.transport_kernel import LAST
from burstline.offload.gro.word import ENDS, HEADER_SHIFT, HEADS, JOINS, MARKED, PAYLOAD_SHIFT, SAME
from burstline.offload.mbuf import DATA_LEN, DATA_OFF, NB_SEGS, NEXT, PKT_LEN, TX_OFFLOAD
from burstline.simd import u32x16, u64x8
from burstline.simd.memory import load_vector, store_vector, trailing_zeros

held_at, form_at = reference(Held), reference(Form)
FORM_BITS = 255
MANY = 128  # packets that are held: more than the L1 cache has of them
AHEAD = 4  # records


def gro(state: Gro, mbufs: int, n: int, out: int, room: int, now: int) -> int:
    """Of the `n` mbufs at `mbufs` and those that are held, write to `out` what is to be processed next, in this order;
    returns how many, at most `room`, which is 2 * n or more. `now` is in ns."""
    done = 0
    for at in range(0, n, CHUNK):
        some = min(n - at, CHUNK)
        sort_packets(state, mbufs + 8 * at, some)
        done = merge(state, mbufs + 8 * at, some, out, done, now)
    return let_go(state, out, done, room, now, 0) if state.held else done


def flush(state: Gro, out: int, room: int, now: int, all: int) -> int:
    """What is over its time, or all: as much as there is room for. Returns how many mbufs were written to `out`."""
    return let_go(state, out, 0, room, now, all)


def merge(state: Gro, mbufs: int, n: int, out: int, done: int, now: int) -> int:
    """The packets that were sorted, one after the other; returns how many mbufs are at `out` by then."""
    joined = 0
    for k in range(n):
        mbuf, sort = load64(mbufs + 8 * k), state.sorted + SORTED * k
        word = load64(sort + 8)
        if word == 0:
            store64(out + 8 * done, mbuf)
            done += 1
            continue
        hashed = load64(sort)
        bucket = shift_right(hashed, 32) & state.buckets
        tag = hashed & 0xFFFFFFFF | 1
        line: Any = load_vector(u32x16, state.tags + bucket * LINE)
        found = (line == tag).bits()
        if found == 0:
            free = (line == 0).bits()
            if word & HEADS and free:
                home = shift_right(hashed, 60)
                place = bucket * WAYS + (home if free >> home & 1 else trailing_zeros(free))
                store32(state.tags + 4 * place, tag)
                done = hold(state, place, mbuf, word, sort, out, done, now)
            else:
                if word & HEADS:
                    state.refused += 1
                store64(out + 8 * done, mbuf)
                done += 1
            continue
        place = bucket * WAYS + trailing_zeros(found)
        held = held_at(state.places + place * HELD)
        form = form_at(state.forms + (word & FORM_BITS) * FORM + ROOM)
        data: Any = load64(mbuf) + load16(mbuf + DATA_OFF)
        if follows(state, held, form, data, word, sort):
            joined += 1
            join(state, held, form, mbuf, data, word)
            short = word >> PAYLOAD_SHIFT < held.segment or held.count >= form.limit
            if short or word & ENDS:
                if word & ENDS:
                    state.by_flags += 1
                else:
                    state.by_size += 1
                done = release(state, place, out, done)
                store32(state.tags + 4 * place, 0)
        else:
            count_reason(state, held, data, word)
            done = release(state, place, out, done)
            if word & HEADS:
                done = hold(state, place, mbuf, word, sort, out, done, now)
            else:
                store32(state.tags + 4 * place, 0)
                store64(out + 8 * done, mbuf)
                done += 1
    state.joined += joined
    return done


def join(state: Gro, held: Held, form: Form, mbuf: int, data: Any, word: int) -> None:
    """A packet's payload goes behind what is held, in its own mbufs."""
    header, payload = word >> HEADER_SHIFT & 255, word >> PAYLOAD_SHIFT
    segments, last = load16(mbuf + NB_SEGS), mbuf
    for _ in range(1, segments):
        last = load64(last + NEXT)
    if state.sums != 0 and segments == 1:
        keep_payload_sum(state.sums, held, form, mbuf, data, header, payload)
    store16(mbuf + DATA_OFF, load16(mbuf + DATA_OFF) + header)
    store16(mbuf + DATA_LEN, load16(mbuf + DATA_LEN) - header)
    store64(held.last + NEXT, mbuf)
    held.last = last
    held.sequence = held.sequence + payload & form.sequence
    held.ident = held.ident + held.step & form.ident
    held.outer_ident = held.outer_ident + held.outer_step & form.outer_ident
    held.bytes += payload
    held.count += 1
    held.segments += segments
    if word & ENDS:
        held.ends = load8(data + form.l4 + 13) & LAST


def hold(state: Gro, place: int, mbuf: int, word: int, sort: int, out: int, done: int, now: int) -> int:
    """At a free place, whose tag is that of its flow."""
    if state.next - state.first > state.records:
        done = make_room(state, out, done)
    form = form_at(state.forms + (word & FORM_BITS) * FORM + ROOM)
    at = state.places + place * HELD
    held = held_at(at)
    data: Any = load64(mbuf) + load16(mbuf + DATA_OFF)
    header = word >> HEADER_SHIFT & 255
    for line in range(0, header, 64):
        some: Any = load_vector(u64x8, data + line)
        store_vector(at + IMAGE + line, some)
    last, segments = mbuf, load16(mbuf + NB_SEGS)
    for _ in range(1, segments):
        last = load64(last + NEXT)
    payload = word >> PAYLOAD_SHIFT
    held.head, held.last = mbuf, last
    held.same = word & SAME
    held.bytes = load32(mbuf + PKT_LEN)
    held.segment = payload
    held.sequence = be32(data, form.l4 + 4) + payload & form.sequence
    held.ident = be16(data, form.l3 + 4) + 1 & form.ident
    held.outer_ident = be16(data, form.outer_l3 + 4) + 1 & form.outer_ident
    held.step = held.outer_step = 1
    held.count, held.segments, held.ends = 1, segments, 0
    held.limit = state.most + (form.outer_l3 if form.outer_l3 else form.l3)
    if word & MARKED:
        store64(at + MARKS, load64(sort + 16))
        store64(at + TAGS, load64(sort + 24))
    state.held += 1
    held.turn = state.next
    record = state.queue + (state.next & state.records) * RECORD
    store64(record, now)
    store64(record + 8, place)
    state.next += 1
    return done


def release(state: Gro, place: int, out: int, done: int) -> int:
    """What is held at a place goes on. Its tag stays."""
    held = held_at(state.places + place * HELD)
    if held.count > 1:
        state.merged += 1
        make_merged(held, form_at(state.forms + (held.same & FORM_BITS) * FORM + ROOM), state.sums)
    store64(out + 8 * done, held.head)
    held.head = 0
    state.held -= 1
    return done + 1


def let_go(state: Gro, out: int, done: int, room: int, now: int, all: int) -> int:
    """From the front of the queue, what is over its time, or all."""
    while state.first < state.next and done < room:
        if state.held > MANY:
            look_ahead(state)
        record = state.queue + (state.first & state.records) * RECORD
        place = load64(record + 8)
        held = held_at(state.places + place * HELD)
        if held.head != 0 and held.turn == state.first & 0xFFFFFFFF:
            if not all and now - load64(record) < state.timeout:
                break
            if all or state.timeout == 0:
                state.by_burst += 1
            else:
                state.by_time += 1
            store32(state.tags + 4 * place, 0)
            done = release(state, place, out, done)
        state.first += 1
    if state.held == 0:  # the queue begins anew, where it is in the cache
        state.first = state.next = 0
    return done


def look_ahead(state: Gro) -> None:
    """Have what goes on soon in the cache by then: first the place, then the mbuf, then its headers."""
    place = load64(state.queue + (state.first + 3 * AHEAD & state.records) * RECORD + 8)
    prefetch(state.places + place * HELD)
    place = load64(state.queue + (state.first + 2 * AHEAD & state.records) * RECORD + 8)
    mbuf = load64(state.places + place * HELD)
    prefetch_to_write(mbuf)
    prefetch_to_write(mbuf + TX_OFFLOAD)
    place = load64(state.queue + (state.first + AHEAD & state.records) * RECORD + 8)
    mbuf = load64(state.places + place * HELD)
    if mbuf != 0:
        prefetch_to_write(load64(mbuf) + load16(mbuf + DATA_OFF))


@apart
def make_room(state: Gro, out: int, done: int) -> int:
    """The queue is full of those that went on already: from its front, up to one that is still held."""
    while state.next - state.first > state.records:
        place = load64(state.queue + (state.first & state.records) * RECORD + 8)
        held = held_at(state.places + place * HELD)
        if held.head != 0 and held.turn == state.first & 0xFFFFFFFF:
            state.by_room += 1
            store32(state.tags + 4 * place, 0)
            done = release(state, place, out, done)
        state.first += 1
    return done


@apart
def count_reason(state: Gro, held: Held, data: Any, word: int) -> None:
    """Why a packet pushes out what is held of its flow."""
    if not word & JOINS:
        state.by_flags += 1
        return
    form = form_at(state.forms + (word & FORM_BITS) * FORM + ROOM)
    payload = word >> PAYLOAD_SHIFT
    if (word ^ held.same) & SAME:
        state.by_headers += 1
    elif be32(data, form.l4 + 4) & form.sequence != held.sequence:
        state.by_order += 1
    elif payload > held.segment or held.bytes + payload > held.limit:
        state.by_size += 1
    else:
        state.by_headers += 1
