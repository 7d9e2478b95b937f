"""The compiled search for literals: sixty-four places of some bytes at a time.

Of each place, its byte and the next two or three are looked up in tables by halves; what is left of the bits tells
which buckets may have a literal there, and these are compared. No byte outside is read.
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load8, load16, load32, load64, prefetch, select, store32
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.simd import m64, u8x16, u8x64, u64x8
from burstline.simd import select as choose
from burstline.simd.memory import load_masked, load_vector, scratch, store_vector, trailing_zeros
from burstline.state.pattern_set import PIECE, PatternEntry, PatternHead

head_at, entry_at = reference(PatternHead), reference(PatternEntry)
ENTRY = PatternEntry.layout.size
NUMBER_BITS = 20
NOTHING = -1
FOUR = 4
AHEAD = 4  # packets whose payloads are fetched ahead


def first_bits(count: int) -> int:
    """So many bits, from the lowest on."""
    return select(count >= 64, -1, (1 << (select(count < 0, 0, count) & 63)) - 1)


def part_of(data: int, left: int) -> Any:
    """Sixty-four bytes, or as many as are left, and zeros."""
    return load_masked(u8x64, data, m64(first_bits(left)))


def is_rest(rest: int, length: int, data: int) -> bool:
    """Whether all bytes of a literal are at an address."""
    size = (length + PIECE - 1) // PIECE * PIECE
    for piece in range(0, length, PIECE):
        found: Any = load_masked(u8x64, data + piece, m64(first_bits(length - piece)))
        differ = (found ^ load_vector(u8x64, rest + piece)) & load_vector(u8x64, rest + size + piece)
        if (differ != 0).any():
            return False
    return True


def word_at(data: int, left: int) -> int:
    """The first eight bytes, or as many as are left, and zeros."""
    if left >= 8:
        return load64(data)
    part: Any = load_masked(u8x64, data, m64(first_bits(left)))
    whole: int = u64x8.cast(part)[0]
    return whole


def literal_at(head: int, buckets: int, data: int, left: int, after: int) -> int:
    """The first literal behind number `after`, of some buckets, that begins at an address; `left` bytes are there."""
    patterns = head_at(head)
    word = word_at(data, left)
    best = 1 << NUMBER_BITS
    while buckets != 0:
        bounds = patterns.buckets + 8 * trailing_zeros(buckets)
        buckets &= buckets - 1
        for k in range(load32(bounds), load32(bounds + 4)):
            entry = entry_at(patterns.literals + ENTRY * k)
            alike = (word ^ entry.word) & entry.mask == 0 and entry.length <= left and after < entry.number < best
            if alike and (entry.rest == 0 or is_rest(entry.rest, entry.length, data)):
                best = entry.number
    return best


def literal_among(head: int, found: Any, data: int, place: int, size: int, at: int, after: int) -> int:
    """The first literal that begins at one of sixty-four places, of which `found` tells the buckets that may have one;
    as `find_literal` says it."""
    candidates = (found != 0).bits() & first_bits(size - place)
    if candidates != 0:
        room = scratch()
        store_vector(room, found)
        while candidates != 0:
            k = trailing_zeros(candidates)
            candidates &= candidates - 1
            behind = select(place + k == at, after, -1)
            number = literal_at(head, load8(room + k), data + place + k, size - place - k, behind)
            if number != 1 << NUMBER_BITS:
                return place + k << NUMBER_BITS | number
    return NOTHING


def find_among_many(head: int, data: int, size: int, at: int, after: int) -> int:
    tables = head_at(head).tables
    is_long = head_at(head).fingerprint > 3
    lower0, upper0 = load_vector(u8x16, tables), load_vector(u8x16, tables + 16)
    lower1, upper1 = load_vector(u8x16, tables + 32), load_vector(u8x16, tables + 48)
    lower2, upper2 = load_vector(u8x16, tables + 64), load_vector(u8x16, tables + 80)
    lower3, upper3 = load_vector(u8x16, tables + 96), load_vector(u8x16, tables + 112)
    for place in range(select(at < 0, 0, at), size, 64):
        one, left = data + place, size - place
        if left >= 64 + 3:
            first, second = load_vector(u8x64, one), load_vector(u8x64, one + 1)
            third, fourth = load_vector(u8x64, one + 2), load_vector(u8x64, one + 3)
        else:
            first, second = part_of(one, left), part_of(one + 1, left - 1)
            third, fourth = part_of(one + 2, left - 2), part_of(one + 3, left - 3)
        found = lower0.lookup(first & 15) & upper0.lookup(first >> 4)
        found = found & lower1.lookup(second & 15) & upper1.lookup(second >> 4)
        found = found & lower2.lookup(third & 15) & upper2.lookup(third >> 4)
        if is_long:
            found = found & lower3.lookup(fourth & 15) & upper3.lookup(fourth >> 4)
        if (found != 0).any():
            result = literal_among(head, found, data, place, size, at, after)
            if result != NOTHING:
                return result
    return NOTHING


def find_one(head: int, data: int, size: int, at: int, after: int) -> int:
    """The same of a single literal: two of its bytes, those that are rarest, are looked for."""
    patterns = head_at(head)
    near, far = patterns.near, patterns.far
    one, other = u8x64(patterns.near_byte), u8x64(patterns.far_byte)
    open_one, open_other = u8x64(patterns.near_case), u8x64(patterns.far_case)
    place, lined_up = select(at < 0, 0, at), False
    while place < size:
        left = size - place
        if lined_up and left >= FOUR * 64 + far:
            # Most often none of four is anything: they are asked together.
            start = data + place
            found0 = (load_vector(u8x64, start + near) | open_one) == one
            found1 = (load_vector(u8x64, start + near + 64) | open_one) == one
            found2 = (load_vector(u8x64, start + near + 128) | open_one) == one
            found3 = (load_vector(u8x64, start + near + 192) | open_one) == one
            found0 = found0 & ((load_vector(u8x64, start + far) | open_other) == other)
            found1 = found1 & ((load_vector(u8x64, start + far + 64) | open_other) == other)
            found2 = found2 & ((load_vector(u8x64, start + far + 128) | open_other) == other)
            found3 = found3 & ((load_vector(u8x64, start + far + 192) | open_other) == other)
            if (found0 | found1 | found2 | found3).any():
                for k in range(FOUR):
                    found = found0 if k == 0 else found1 if k == 1 else found2 if k == 2 else found3
                    octets = choose(found, u8x64(1), 0)
                    result = literal_among(head, octets, data, place + 64 * k, size, at, after)
                    if result != NOTHING:
                        return result
            place += FOUR * 64
        else:
            start = data + place
            if left >= 64 + far:
                first, second = load_vector(u8x64, start + near), load_vector(u8x64, start + far)
            else:
                first, second = part_of(start + near, left - near), part_of(start + far, left - far)
            found = ((first | open_one) == one) & ((second | open_other) == other)
            if found.any():
                result = literal_among(head, choose(found, u8x64(1), 0), data, place, size, at, after)
                if result != NOTHING:
                    return result
            place += 64
            if not lined_up:  # a load that lies in two cache lines takes twice as long: some places are seen again
                place -= data + place + near & 63
                lined_up = True
    return NOTHING


def find_literal(head: int, data: int, size: int, at: int, after: int) -> int:
    """The first occurrence at `at` of a literal behind number `after`, or else behind `at`: its start above 20 bits of
    its number; NOTHING where there is none."""
    if head_at(head).far >= 0:
        return find_one(head, data, size, at, after)
    return find_among_many(head, data, size, at, after)


def search_packets(head: int, burst: BurstColumns, count: int, own: int) -> int:
    """Write for each packet of a burst the number of the first literal in its payload to the worker's results, or -1.
    `own` is the worker's list, or 0. Payloads that come are fetched while others are searched."""
    results = head_at(head).results
    for k in range(count):
        ahead = min(k + AHEAD, count - 1)
        coming = load16(own + 8 + 2 * ahead) if own != 0 else ahead
        start = burst.data[coming] + burst.payload[coming]
        prefetch(start)
        prefetch(start + 64)
        i = load16(own + 8 + 2 * k) if own != 0 else k
        size = burst.end[i] - burst.payload[i]
        found = find_literal(head, burst.data[i] + burst.payload[i], size, 0, -1)
        store32(results + 4 * i, select(found < 0, -1, found & (1 << NUMBER_BITS) - 1))
    return 0
