"""The compiled `Set` and `Map`: how the memory is laid out is said in `hash_buckets.py`.

A bucket's keys are compared at once. Each function is made for tables of one shape: how many words a key has, and
whether there are values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from burstline.native.build import apart
from burstline.native.memory import load64, prefetch, scale, select, store64, wrapping_add
from burstline.simd import u64x8
from burstline.simd.memory import load_vector, trailing_zeros
from burstline.state.hash_buckets import LINE, PASSED, TAKEN, HashHead
from burstline.state.key_hash_kernel import hash_word, hash_words


class TableKernels(NamedTuple):
    """Of `(head, low, high, ...)`, the words of a key; of keys of one word, `high` is 0."""

    has: Callable[..., int]
    add_key: Callable[..., int]
    discard: Callable[..., int]
    get: Callable[..., int]
    put: Callable[..., int]
    add_to: Callable[..., int]
    pop: Callable[..., int]


def table_kernels(words: int, values: int) -> TableKernels:
    stride, value_at = LINE * (words + values), LINE * words
    two = words == 2

    def home(head: HashHead, low: int, high: int) -> int:
        return head.buckets + scale(hash_words(low, high) if two else hash_word(low), head.count, 64) * stride

    def find(head: HashHead, start: int, low: int, high: int) -> int:
        """The address of a key in the table, or 0."""
        bucket, end = start, head.buckets + head.count * stride
        if values:  # both lines come at once, not one after the other
            prefetch(start + value_at)
        for _ in range(head.count):
            keys: Any = load_vector(u64x8, bucket)
            same = (keys == low).bits()
            if two:
                others: Any = load_vector(u64x8, bucket + LINE)
                same &= (others == high).bits()
            first = load64(bucket)
            same &= first & TAKEN
            if same != 0:
                return bucket + 8 * trailing_zeros(same)
            if first < PASSED:
                return 0
            bucket += stride
            if bucket == end:
                bucket = head.buckets
        return 0

    @apart
    def insert(head: HashHead, start: int, low: int, high: int) -> int:
        """A place for a key that is not there: its address, or 0 when the table is full."""
        if head.used == head.capacity:
            head.refused += 1
            return 0
        head.used += 1
        bucket, end = start, head.buckets + head.count * stride
        first = load64(bucket)
        while first & TAKEN == TAKEN:
            store64(bucket, first + PASSED)
            bucket += stride
            if bucket == end:
                bucket = head.buckets
            first = load64(bucket)
        free = ~first & TAKEN
        place = bucket + 8 * trailing_zeros(free)
        store64(place, low)
        if two:
            store64(place + LINE, high)
        store64(bucket, first | free & -free)
        return place

    @apart
    def remove(head: HashHead, start: int, place: int) -> None:
        """The key at an address, and what it left at the buckets that it went past."""
        head.used -= 1
        bucket, end = start, head.buckets + head.count * stride
        while place - bucket < 0 or place - bucket >= LINE:
            store64(bucket, load64(bucket) - PASSED)
            bucket += stride
            if bucket == end:
                bucket = head.buckets
        store64(bucket, load64(bucket) & ~(1 << (place - bucket >> 3)))

    def has(head: HashHead, low: int, high: int) -> int:
        return select(find(head, home(head, low, high), low, high) != 0, 1, 0)

    def add_key(head: HashHead, low: int, high: int) -> int:
        """1 where it was not there and now is."""
        start = home(head, low, high)
        if find(head, start, low, high) != 0:
            return 0
        return select(insert(head, start, low, high) != 0, 1, 0)

    def discard(head: HashHead, low: int, high: int) -> int:
        """1 where it was there."""
        start = home(head, low, high)
        place = find(head, start, low, high)
        if place == 0:
            return 0
        remove(head, start, place)
        return 1

    def get(head: HashHead, low: int, high: int, default: int) -> int:
        place = find(head, home(head, low, high), low, high)
        return load64(place + value_at) if place != 0 else default

    def put(head: HashHead, low: int, high: int, value: int) -> int:
        start = home(head, low, high)
        place = find(head, start, low, high)
        if place == 0:
            place = insert(head, start, low, high)
        if place != 0:
            store64(place + value_at, value)
        return 0

    def add_to(head: HashHead, low: int, high: int, n: int) -> int:
        """The sum."""
        start = home(head, low, high)
        place = find(head, start, low, high)
        if place != 0:
            total = wrapping_add(load64(place + value_at), n)
            store64(place + value_at, total)
            return total
        place = insert(head, start, low, high)
        if place != 0:
            store64(place + value_at, n)
        return n

    def pop(head: HashHead, low: int, high: int, default: int) -> int:
        start = home(head, low, high)
        place = find(head, start, low, high)
        if place == 0:
            return default
        value = load64(place + value_at)
        remove(head, start, place)
        return value

    return TableKernels(has, add_key, discard, get, put, add_to, pop)
