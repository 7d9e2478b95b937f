"""The compiled half of a flow table's entries: whose an entry is, how long it was idle, how its record leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.native.build import apart
from burstline.native.memory import clear, copy, load32, load64, store64, store_release
from burstline.native.struct_type import reference
from burstline.simd.memory import trailing_zeros
from burstline.state.digest import DigestHead
from burstline.state.digest_kernel import digest_new
from burstline.state.flow_head import ACTIVE, EVICTED, IDLE, LINE, OVERFLOW_AT, SIDE, USED, Geometry, TableHead
from burstline.state.flow_index_kernel import home_of, next_of, number_at, remove, slots_with, tag_of

WORD_USED = -(1 << 63)  # USED in the first word of a key
NOT_OWN = ~((USED - 1) << 48)  # what of that word is the key, or USED
OF_KEY = (1 << 48) - 1 | SIDE << 48  # what a key says, and the way its packet goes
ring_at = reference(DigestHead)


@dataclass(frozen=True)
class EntryKernels:
    same_key: Callable[[int, int], bool]  # (entry, key)
    find: Callable[[TableHead, int, int], int]  # (table, key, hash): the number of the flow's entry, or 0
    find_step: Callable[[TableHead, int, int, int], int]  # the same where from one entry to the next are `step` bytes
    clear_record: Callable[[TableHead, int], None]
    hand_over: Callable[[TableHead, int, int], None]  # (table, number, reason)
    unlink: Callable[[TableHead, int, int], None]  # (table, hash, number)
    take_out: Callable[[TableHead, int], None]
    give_back: Callable[[TableHead, int], None]
    idle_for: Callable[[int, int], int]  # (entry, now): milliseconds


def elapsed(then: int, now: int) -> int:
    """Milliseconds, of times of 32 bits; time that goes backwards is no time."""
    gap = (now - then) & 0xFFFFFFFF
    return 0 if gap > 0x7FFFFFFF else gap


def entry_kernels(at: Geometry, hash_key: Callable[[int], int]) -> EntryKernels:
    """Of one table. `hash_key` is of a key at an address."""
    words, stride, record_at, seen_at = at.key // 8, at.stride, at.record_at, at.seen_at
    record_size, cold_stride = at.stride - at.record_at, at.cold_stride

    def same_key(entry: int, key: int) -> bool:
        differ = (load64(entry) ^ (load64(key) | WORD_USED)) & NOT_OWN
        for word in range(1, words):
            differ |= load64(entry + 8 * word) ^ load64(key + 8 * word)
        return differ == 0

    def find_in(index: int, buckets: int, entries: int, step: int, key: int, hash: int) -> int:
        """The number of the flow's entry, or 0; from one entry to the next are `step` bytes."""
        home = home_of(hash, buckets)
        bucket_number, tag = home, tag_of(hash)
        while True:
            bucket = index + bucket_number * LINE
            left = slots_with(bucket, tag)
            while left != 0:
                number = number_at(bucket, trailing_zeros(left))
                if same_key(entries + number * step, key):
                    return number
                left &= left - 1
            if load32(bucket + OVERFLOW_AT) == 0:
                return 0
            bucket_number = next_of(bucket_number, buckets)
            if bucket_number == home:
                return 0

    def find_step(table: TableHead, step: int, key: int, hash: int) -> int:
        number = find_in(table.index, table.buckets, table.entries, step, key, hash)
        if number == 0 and table.old_buckets != 0:
            number = find_in(table.old_index, table.old_buckets, table.entries, step, key, hash)
        return number

    @apart
    def find(table: TableHead, key: int, hash: int) -> int:
        return find_step(table, stride, key, hash)

    def clear_record(table: TableHead, number: int) -> None:
        clear(table.entries + number * stride + record_at, record_size)
        if cold_stride:
            clear(table.cold + number * cold_stride, cold_stride)

    def hand_over(table: TableHead, number: int, reason: int) -> None:
        """Give a record that leaves to whoever wants it."""
        if reason == IDLE:
            table.idled += 1
        elif reason == ACTIVE:
            table.timed_out += 1
        elif reason == EVICTED:
            table.evicted += 1
        else:
            table.closed += 1
        if table.ring != 0:
            row = digest_new(ring_at(table.ring), table.ring, stride + cold_stride + 8)
            copy(row, table.entries + number * stride, stride)
            if cold_stride:
                copy(row + stride, table.cold + number * cold_stride, cold_stride)
            store64(row + stride + cold_stride, reason)

    def unlink(table: TableHead, hash: int, number: int) -> None:
        if not remove(table.index, table.buckets, hash, number):
            remove(table.old_index, table.old_buckets, hash, number)
        table.live -= 1

    def take_out(table: TableHead, number: int) -> None:
        """The flow is in the index no more; its entry is nobody's."""
        unlink(table, hash_key(table.entries + number * stride), number)

    def give_back(table: TableHead, number: int) -> None:
        entry = table.entries + number * stride
        store64(entry, 0)
        store_release(entry + 8, table.free)  # readers see that it is free before they see this in its key
        table.free = number

    def idle_for(entry: int, now: int) -> int:
        return elapsed(load32(entry + seen_at), now)

    return EntryKernels(same_key, find, find_step, clear_record, hand_over, unlink, take_out, give_back, idle_for)
