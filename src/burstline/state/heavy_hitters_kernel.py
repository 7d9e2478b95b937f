"""The compiled `HeavyHitters`. A chunk of packets is added in three loops without branches that the CPU must guess:
flows that have a place are counted, and the others are noted; for each of those a number is drawn, and the few that
it may let in are noted; those are looked at one by one. What is seldom is a function apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.build import apart
from burstline.native.memory import (
    clear,
    copy,
    load16,
    load32,
    load64,
    mix,
    ones,
    select,
    shift_right,
    store16,
    store32,
    store64,
    store_release,
    wrapping_add,
    wrapping_subtract,
)
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.packet.flow_key import KEY_SIZE, SECRET_1, SECRET_2
from burstline.simd import m16, u32x16, u64x16
from burstline.simd import select as choose
from burstline.simd.memory import load_vector, scratch, store_vector, trailing_zeros
from burstline.state.heavy_head import (
    CHUNK,
    ENTRY,
    LINE,
    MOST_ADDED,
    MOST_COUNT,
    MOST_TIME,
    MOST_TOTAL,
    WAYS,
    HeavyHead,
)

head_at = reference(HeavyHead)
LISTED = HeavyHead.layout.offset("listed")


@apart
def turn(at: int, time: int) -> int:
    """A window ended: its counts become those of the window before, unless no packet came in a whole window."""
    head = head_at(at)
    size = 4 * WAYS << (64 - head.shift)
    clear(head.before, size)
    clear(head.levels, size // WAYS)
    passed = (time - head.end) // head.window
    if passed > 0:
        clear(head.counts, size)
        head.least = 1
    elif head.listed - head.listed_before < head.target >> 1:
        head.least = max(1, head.least >> 1)
    counts = head.counts
    head.counts = head.before
    head.before = counts
    head.end += (passed + 1) * head.window
    head.total = 0
    head.listed_before = head.listed
    head.doubled = head.listed
    head.turns += 1
    return 0


@apart
def list_flow(at: int, hash: int, key: int) -> int:
    """An entry is whole before it is counted."""
    head = head_at(at)
    listed = head.listed
    entry = head.ring + ENTRY * (listed & head.ring_mask)
    store64(entry, hash)
    copy(entry + 8, key, KEY_SIZE)
    store_release(at + LISTED, listed + 1)
    if listed + 1 - head.doubled >= head.target:
        head.least *= 2
        head.doubled = listed + 1
    return 0


@apart
def list_grown(at: int, place: int, n: int, hash: int, key: int) -> int:
    """A flow's count passed a multiple of `least`. It is listed if that was `least` itself; and where `least` was
    another one when the window began, at any higher power of two, too, as its entry may be written over by now: that
    one changes the highest bit of the count."""
    head, now = head_at(at), load32(place)
    was = now - n
    again = (head.doubled != head.listed_before) & (was ^ now > was)
    if (now >= head.least) & ((was < head.least) | again):
        list_flow(at, hash, key)
    return 0


def admit(at: int, set: int, drawn: int, n: int, more: int, hash: int, key: int) -> int:
    """A flow takes the place of the one with least in its set with a probability of n / (least + n): `drawn`, 32 bits,
    decides. Its count is all that, and `more`; returns it, or 0."""
    head = head_at(at)
    counts: Any = load_vector(u32x16, head.counts + set)
    before: Any = load_vector(u32x16, head.before + set)
    sums = counts + before
    least = sums.min()
    store32(head.levels + set // WAYS, least)
    if least * drawn >= n * ((1 << 32) - drawn):
        return 0
    taken: Any = m16(1 << trailing_zeros((sums == least).bits()))
    count = min(least + n + more, MOST_COUNT)
    tags: Any = load_vector(u32x16, head.tags + set)
    store_vector(head.tags + set, choose(taken, u32x16(hash), tags))
    store_vector(head.before + set, choose(taken, u32x16(0), before))
    store_vector(head.counts + set, choose(taken, u32x16(count), counts))
    if count >= head.least:
        list_flow(at, hash, key)
    return count  # type: ignore[no-any-return]


def adder(by_length: bool) -> Callable[..., int]:
    """`(sketch, hashes, keys, lengths, count, time)`: add packets, one each, or their lengths. All are addresses of
    arrays: hashes of 64 bits, keys of 40 bytes, lengths of 32 bits, which are not looked at where they are not added.
    `time`, in ns, is that of all."""

    def weight(lengths: int, i: int) -> int:
        return min(load32(lengths + 4 * i), MOST_ADDED) if by_length else 1

    def add_chunk(at: int, hashes: int, keys: int, lengths: int, count: int, time: int) -> int:
        head = head_at(at)
        if time >= head.end:
            turn(at, time)
        head.time = time
        if head.total > MOST_TOTAL:
            return 0
        tags, counts, levels, shift, high = head.tags, head.counts, head.levels, head.shift, -head.least
        missed, drawn_for = scratch(), scratch()
        misses = total = 0
        for i in range(count):
            hash, n = load64(hashes + 8 * i), weight(lengths, i)
            set = shift_right(hash, shift) * LINE
            theirs: Any = load_vector(u32x16, tags + set)
            is_its = theirs == hash
            old: Any = load_vector(u32x16, counts + set)
            new = choose(is_its, old + n, old)
            store_vector(counts + set, new)
            store16(missed + 2 * misses, i)
            misses += select(is_its.any(), 0, 1)
            total += n
            if ((old ^ new) & high != 0).any():
                list_grown(at, counts + set + 4 * trailing_zeros(is_its.bits()), n, hash, keys + KEY_SIZE * i)
        head.total += total
        chance, possible = head.chance, 0
        for k in range(misses):
            i = load16(missed + 2 * k)
            level = load32(levels + 4 * shift_right(load64(hashes + 8 * i), shift))
            chance = wrapping_add(chance, SECRET_1)
            drawn = shift_right(mix(chance, chance ^ SECRET_2), 32)
            store64(drawn_for + 8 * possible, drawn << 32 | i)
            possible += select(level * drawn < weight(lengths, i) * ((1 << 32) - drawn), 1, 0)
        head.chance = chance
        for k in range(possible):
            i, drawn = load32(drawn_for + 8 * k), load32(drawn_for + 8 * k + 4)
            hash = load64(hashes + 8 * i)
            set = shift_right(hash, shift) * LINE
            present: Any = load_vector(u32x16, tags + set)
            if (present == hash).any():  # an earlier packet of the chunk was admitted, and this one counted as `more`
                continue
            alike = 0
            if count == CHUNK:
                for j in range(0, CHUNK, 16):
                    some: Any = load_vector(u64x16, hashes + 8 * j)
                    alike |= (some == hash).bits() << j
            else:
                for j in range(count):
                    alike |= select(load64(hashes + 8 * j) == hash, 1, 0) << j
            alike &= -2 << i
            more = ones(alike)
            if by_length:
                more = 0
                while alike != 0:
                    more += weight(lengths, trailing_zeros(alike))
                    alike &= wrapping_subtract(alike, 1)
            admit(at, set, drawn, weight(lengths, i), more, hash, keys + KEY_SIZE * i)
        return 0

    def add_many(at: int, hashes: int, keys: int, lengths: int, count: int, time: int) -> int:
        time = min(time, MOST_TIME)
        for i in range(0, count, CHUNK):
            add_chunk(at, hashes + 8 * i, keys + KEY_SIZE * i, lengths + 4 * i, min(CHUNK, count - i), time)
        return 0

    return add_many


add_packets: Any = adder(False)
add_lengths: Any = adder(True)


def add_burst(at: int, burst: BurstColumns, count: int, time: int) -> int:
    """Add the packets of a parsed burst, one each."""
    return add_packets(at, burst_address(burst.hash), burst_address(burst.key), 0, count, time)  # type: ignore[no-any-return]


def add_burst_lengths(at: int, burst: BurstColumns, count: int, time: int) -> int:
    """Add the lengths on the wire of the packets of a parsed burst."""
    hashes, keys, lengths = burst_address(burst.hash), burst_address(burst.key), burst_address(burst.length)
    return add_lengths(at, hashes, keys, lengths, count, time)  # type: ignore[no-any-return]


def add(at: int, hash: int, key: int, n: int, time: int) -> int:
    """Add n for one packet: as a chunk of it. Returns what its flow has in this window, or 0 if it has no place."""
    head, time = head_at(at), min(time, MOST_TIME)
    if time >= head.end:
        turn(at, time)
    head.time = time
    is_full = head.total > MOST_TOTAL
    n = min(max(n, 0), MOST_ADDED)
    set = shift_right(hash, head.shift) * LINE
    theirs: Any = load_vector(u32x16, head.tags + set)
    its = (theirs == hash).bits()
    if its != 0:
        place = head.counts + set + 4 * trailing_zeros(its)
        was = load32(place)
        if is_full:
            return was
        head.total += n
        store32(place, was + n)
        if (was ^ was + n) & -head.least != 0:
            list_grown(at, place, n, hash, key)
        return was + n
    if is_full:
        return 0
    head.total += n
    head.chance = wrapping_add(head.chance, SECRET_1)
    drawn = shift_right(mix(head.chance, head.chance ^ SECRET_2), 32)
    if load32(head.levels + set // WAYS) * drawn < n * ((1 << 32) - drawn):
        return admit(at, set, drawn, n, 0, hash, key)
    return 0
