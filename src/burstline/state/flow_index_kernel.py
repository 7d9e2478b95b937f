"""The compiled index of a flow table: open addressing over buckets of one cache line, tags compared all at once.

As F14 (Facebook, 2019) and `rte_hash` do, a bucket has short tags of its entries, compared by one vector instruction.
An entry that finds its bucket full goes on to the next; each bucket counts those that passed it by, so that a search
ends where nobody went on, and a removal leaves nothing behind.
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import load32, shift_right, store16, store32
from burstline.simd import u16x16
from burstline.simd.memory import load_vector, trailing_zeros
from burstline.state.flow_head import LINE, NUMBERS_AT, OVERFLOW_AT, SLOTS

ALL_SLOTS = (1 << SLOTS) - 1


def tag_of(hash: int) -> int:
    """16 bits; 0 is an empty slot."""
    return (hash & 0xFFFF) | 1


def home_of(hash: int, buckets: int) -> int:
    """By the upper half of the hash, for any number of buckets (Lemire, "Fast random integer generation in an
    interval", 2019)."""
    return shift_right(shift_right(hash, 32) * buckets, 32)


def slots_with(bucket: int, tag: int) -> int:
    """A bit for each slot of the bucket that has this tag."""
    tags: Any = load_vector(u16x16, bucket)
    found: int = (tags == tag).bits()
    return found & ALL_SLOTS


def number_at(bucket: int, slot: int) -> int:
    return load32(bucket + NUMBERS_AT + 4 * slot)


def next_of(at: int, buckets: int) -> int:
    return at + 1 if at + 1 < buckets else 0


def put(index: int, buckets: int, hash: int, number: int) -> None:
    """There is always room: the index grows before it is full."""
    at = home_of(hash, buckets)
    bucket = index + at * LINE
    free = slots_with(bucket, 0)
    while free == 0:
        store32(bucket + OVERFLOW_AT, load32(bucket + OVERFLOW_AT) + 1)
        at = next_of(at, buckets)
        bucket = index + at * LINE
        free = slots_with(bucket, 0)
    slot = trailing_zeros(free)
    store16(bucket + 2 * slot, tag_of(hash))
    store32(bucket + NUMBERS_AT + 4 * slot, number)


def slot_of(bucket: int, tag: int, number: int) -> int:
    """Which slot of the bucket has this entry, or -1."""
    left = slots_with(bucket, tag)
    while left != 0:
        slot = trailing_zeros(left)
        if number_at(bucket, slot) == number:
            return slot
        left &= left - 1
    return -1


def remove(index: int, buckets: int, hash: int, number: int) -> bool:
    """Whether it was there."""
    home = home_of(hash, buckets)
    at, tag = home, tag_of(hash)
    slot = slot_of(index + at * LINE, tag, number)
    while slot < 0:
        if load32(index + at * LINE + OVERFLOW_AT) == 0:
            return False
        at = next_of(at, buckets)
        if at == home:
            return False
        slot = slot_of(index + at * LINE, tag, number)
    store16(index + at * LINE + 2 * slot, 0)
    while home != at:
        passed = index + home * LINE + OVERFLOW_AT
        store32(passed, load32(passed) - 1)
        home = next_of(home, buckets)
    return True
