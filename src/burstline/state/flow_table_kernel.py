"""The compiled flow table, made for one table's entries: what the loops and the stages call.

A burst's packets go through it in three steps, each some packets behind the one before: the bucket is prefetched; its
tags are compared and the entry that they name is prefetched (`foresee`); the stage compares the key and has the record
(`record_of`), as FAJITA (CoNEXT 2024) does for chains. What was foreseen is only a guess, so a table that changes
meanwhile does no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.native.build import apart
from burstline.native.memory import (
    load16,
    load32,
    load64,
    prefetch,
    prefetch_to_write,
    select,
    store32,
    store64,
    store_release,
    unsigned_divide,
)
from burstline.native.struct_type import reference, struct_address
from burstline.simd.memory import trailing_zeros
from burstline.state.flow_entry_kernel import OF_KEY, EntryKernels, elapsed, entry_kernels
from burstline.state.flow_head import (
    ACTIVE,
    BURST_BITS,
    CLOSED,
    FOUND_AT,
    IDLE,
    LINE,
    MARK_AT,
    OVERFLOW_AT,
    SIDE,
    SLOTS,
    USED,
    Geometry,
    TableHead,
)
from burstline.state.flow_index_kernel import home_of, next_of, number_at, slots_with, tag_of
from burstline.state.flow_inherit_kernel import InheritKernels, inherit_kernels
from burstline.state.flow_room_kernel import RoomKernels, room_kernels

MS = 1_000_000  # nanoseconds
ENDED = TableHead.layout.offset("ended")
AT_ONCE = 8  # buckets of the old index that are moved for each burst, while the table grows
table_at = reference(TableHead)


@dataclass(frozen=True)
class TableKernels:
    """The functions of one table. All take its address first; those of its parts its head."""

    record_of: Callable[[int, int, int, int, int], int]  # (key, hash, packet, time): the record's address
    foresee: Callable[[int, int, int], int]  # (hash, packet): prefetch the entry
    prefetch_bucket: Callable[[int, int], int]  # (hash)
    begin: Callable[[int, int, int], int]  # (time, packets): a burst
    end: Callable[[int], int]
    entries: EntryKernels
    room: RoomKernels
    heirs: InheritKernels
    is_forward: Callable[[int, int, int, int], int]  # (key, hash, packet)
    close: Callable[[int, int, int, int], int]  # (key, hash, packet): the record leaves now


def guess(index: int, buckets: int, hash: int) -> int:
    """The number that the first fitting tag names, in the bucket or the one behind it; or 0."""
    bucket_number, tag = home_of(hash, buckets), tag_of(hash)
    bucket = index + bucket_number * LINE
    found = slots_with(bucket, tag)
    number = select(found == 0, 0, number_at(bucket, trailing_zeros(found | 1 << (SLOTS - 1))))
    if number == 0 and load32(bucket + OVERFLOW_AT) != 0:
        bucket = index + next_of(bucket_number, buckets) * LINE
        found = slots_with(bucket, tag)
        number = select(found == 0, 0, number_at(bucket, trailing_zeros(found | 1 << (SLOTS - 1))))
    return number


def table_kernels(at: Geometry, hash_key: Callable[[int], int]) -> TableKernels:
    """`hash_key` is of a key at an address."""
    stride, record_at, times, seen_at, start_at = at.stride, at.record_at, at.times, at.seen_at, at.start_at
    lines = -(-at.stride // LINE)
    entries = entry_kernels(at, hash_key)
    room = room_kernels(at, hash_key, entries)
    heirs = inherit_kernels(at, hash_key, entries, room)
    # By plain names: compiled code does not look into modules.
    same_key, find, clear_record, hand_over, take_out, give_back, idle_for = (
        entries.same_key, entries.find, entries.clear_record, entries.hand_over, entries.take_out, entries.give_back,
        entries.idle_for,
    )  # fmt: skip
    insert, move_bucket, sweep = room.insert, room.move_bucket, room.sweep
    inherit, inherit_some = heirs.inherit, heirs.inherit_some

    @apart
    def start_again(table: TableHead, number: int, key: int, now: int, reason: int) -> None:
        """A flow's record leaves, and its next one begins."""
        entry = table.entries + number * stride
        hand_over(table, number, reason)
        clear_record(table, number)
        store32(entry + start_at, now)
        store64(entry, (load64(key) & OF_KEY) | table.mark << 48)

    def touch(table: TableHead, number: int, key: int, now: int) -> None:
        """A packet of the flow is here."""
        entry = table.entries + number * stride
        # The word as a whole: a load of it waits for a store of a part of it.
        store64(entry, (load64(entry) & OF_KEY) | table.mark << 48)
        if times:
            if table.idle != 0 and idle_for(entry, now) >= table.idle:
                start_again(table, number, key, now, IDLE)
            elif table.active != 0 and elapsed(load32(entry + start_at), now) >= table.active:
                start_again(table, number, key, now, ACTIVE)
            if elapsed(now, load32(entry + seen_at)) == 0:  # not where time went backwards
                store32(entry + seen_at, now)

    @apart
    def look_up(table: TableHead, key: int, hash: int, i: int, now: int) -> int:
        """What was foreseen is not it."""
        number = find(table, key, hash)
        if number == 0 and table.old != 0:
            number = inherit(table, key, hash, now)
        if number == 0:
            number = insert(table, key, hash, now)
        elif number <= table.capacity:
            touch(table, number, key, now)
        store32(struct_address(table) + FOUND_AT + 4 * i, number)
        return number

    def record_of(address: int, key: int, hash: int, i: int, time: int) -> int:
        table = table_at(address)
        now = unsigned_divide(time, MS) & 0xFFFFFFFF if times else 0
        number = load32(address + FOUND_AT + 4 * i)
        if same_key(table.entries + number * stride, key):
            touch(table, number, key, now)
        else:
            number = look_up(table, key, hash, i, now)
        return table.entries + number * stride + record_at

    def prefetch_bucket(address: int, hash: int) -> int:
        table = table_at(address)
        prefetch(table.index + home_of(hash, table.buckets) * LINE)
        return 0

    def foresee(address: int, hash: int, i: int) -> int:
        table = table_at(address)
        number = guess(table.index, table.buckets, hash)
        if number == 0 and table.old_buckets != 0:
            number = guess(table.old_index, table.old_buckets, hash)
        store32(address + FOUND_AT + 4 * i, number)
        prefetch_to_write(table.entries + number * stride)
        for line in range(1, lines):
            prefetch_to_write(table.entries + number * stride + line * LINE)
        return 0

    def begin(address: int, time: int, packets: int) -> int:
        table = table_at(address)
        table.began += 1
        table.mark = (table.began & ((1 << BURST_BITS) - 1)) | USED
        if table.old_buckets != 0:
            for _ in range(AT_ONCE):
                if table.old_buckets != 0:
                    move_bucket(table)
        now = unsigned_divide(time, MS) & 0xFFFFFFFF
        if table.old != 0:
            inherit_some(table, now)
        if times and table.idle != 0 and table.used != 0:
            sweep(table, now, packets)
        return 0

    def end(address: int) -> int:
        store_release(address + ENDED, table_at(address).began)
        return 0

    def number_of(table: TableHead, key: int, hash: int, i: int) -> int:
        number = load32(struct_address(table) + FOUND_AT + 4 * i)
        return number if same_key(table.entries + number * stride, key) else find(table, key, hash)

    def is_forward(address: int, key: int, hash: int, i: int) -> int:
        table = table_at(address)
        number = number_of(table, key, hash, i)
        entry = table.entries + number * stride
        return 1 if number == 0 or (load16(entry + MARK_AT) ^ load16(key + MARK_AT)) & SIDE == 0 else 0

    @apart
    def close(address: int, key: int, hash: int, i: int) -> int:
        table = table_at(address)
        number = number_of(table, key, hash, i)
        if number != 0:
            hand_over(table, number, CLOSED)
            take_out(table, number)
            give_back(table, number)
        return 0

    return TableKernels(record_of, foresee, prefetch_bucket, begin, end, entries, room, heirs, is_forward, close)
