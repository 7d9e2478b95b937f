"""The compiled flow table, made for one table's entries: lookups, new flows, and what leaves.

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
    clear,
    copy,
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
from burstline.state.digest import DigestHead
from burstline.state.digest_kernel import digest_new
from burstline.state.flow_head import (
    ACTIVE,
    BURST_BITS,
    CLOSED,
    EVICTED,
    FOUND_AT,
    IDLE,
    LINE,
    LOAD,
    MARK_AT,
    OVERFLOW_AT,
    SIDE,
    SLOTS,
    USED,
    Geometry,
    TableHead,
)
from burstline.state.flow_index_kernel import home_of, next_of, number_at, put, remove, slots_with, tag_of
from burstline.state.flow_inherit import Inherited, Move

MS = 1_000_000  # nanoseconds
WORD_USED = -(1 << 63)  # USED in the first word of a key
OWN_BITS = (USED - 1) << 48  # what of that word is no part of the key
NOT_OWN = ~OWN_BITS
OF_KEY = (1 << 48) - 1 | SIDE << 48  # what a key says, and the way its packet goes
ENDED = TableHead.layout.offset("ended")
AT_ONCE = 8  # buckets of the old index that are moved for each burst, while the table grows
SWEEPS = 4  # times that all entries are looked at within an idle timeout
table_at, ring_at = reference(TableHead), reference(DigestHead)
inherited_at, move_at = reference(Inherited), reference(Move)
MOVE = Move.layout.size


@dataclass(frozen=True)
class TableKernels:
    """The functions of one table. All take its address first."""

    record_of: Callable[[int, int, int, int, int], int]  # (key, hash, packet, time): the record's address
    foresee: Callable[[int, int, int], int]  # (hash, packet): prefetch the entry
    prefetch_bucket: Callable[[int, int], int]  # (hash)
    begin: Callable[[int, int, int], int]  # (time, packets): a burst
    end: Callable[[int], int]
    is_forward: Callable[[int, int, int, int], int]  # (key, hash, packet)
    close: Callable[[int, int, int, int], int]  # (key, hash, packet): the record leaves now


def table_kernels(at: Geometry, hash_key: Callable[[int], int], sides: bool) -> TableKernels:
    """`hash_key` is of a key at an address; with `sides`, keys are of both directions."""
    words, stride, record_at, times = at.key // 8, at.stride, at.record_at, at.times
    seen_at, start_at, record_size = at.seen_at, at.start_at, at.stride - at.record_at
    cold_stride, lines = at.cold_stride, -(-at.stride // LINE)

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

    @apart
    def find(table: TableHead, key: int, hash: int) -> int:
        return find_step(table, stride, key, hash)

    def find_step(table: TableHead, step: int, key: int, hash: int) -> int:
        number = find_in(table.index, table.buckets, table.entries, step, key, hash)
        if number == 0 and table.old_buckets != 0:
            number = find_in(table.old_index, table.old_buckets, table.entries, step, key, hash)
        return number

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

    def take_out(table: TableHead, number: int) -> None:
        """The flow is in the index no more; its entry is nobody's."""
        unlink(table, hash_key(table.entries + number * stride), number)

    def unlink(table: TableHead, hash: int, number: int) -> None:
        if not remove(table.index, table.buckets, hash, number):
            remove(table.old_index, table.old_buckets, hash, number)
        table.live -= 1

    def give_back(table: TableHead, number: int) -> None:
        entry = table.entries + number * stride
        store64(entry, 0)
        store_release(entry + 8, table.free)  # readers see that it is free before they see this in its key
        table.free = number

    def idle_for(entry: int, now: int) -> int:
        """Milliseconds; time that goes backwards is no time."""
        gap = (now - load32(entry + seen_at)) & 0xFFFFFFFF
        return 0 if gap > 0x7FFFFFFF else gap

    def make_room(table: TableHead, hash: int, now: int) -> int:
        """A full table's way to an entry: of the flows in the new one's bucket, the one that was idle longest, where
        it is over its time or the table evicts; else 0."""
        if not times:
            return 0
        bucket_number, oldest, longest = home_of(hash, table.buckets), 0, -1
        for _ in range(table.buckets):
            bucket = table.index + bucket_number * LINE
            for slot in range(SLOTS):
                number = number_at(bucket, slot)
                if load16(bucket + 2 * slot) != 0:
                    gap = idle_for(table.entries + number * stride, now)
                    if gap > longest:
                        oldest, longest = number, gap
            if oldest != 0:
                break
            bucket_number = next_of(bucket_number, table.buckets)
        if oldest == 0:
            return 0
        is_over = table.idle != 0 and longest >= table.idle
        if not is_over and table.evicts == 0:
            return 0
        hand_over(table, oldest, IDLE if is_over else EVICTED)
        take_out(table, oldest)
        return oldest

    def free_entry(table: TableHead, hash: int, now: int) -> int:
        if table.free != 0:
            number = table.free
            table.free = load64(table.entries + number * stride + 8)
            return number
        if table.used < table.capacity:
            table.used += 1
            return table.used
        return make_room(table, hash, now)

    def sweep_some(table: TableHead, now: int, count: int) -> None:
        """Look for records over their idle timeout among the next entries."""
        number = table.sweep
        for _ in range(count):
            number = number + 1 if number < table.used else 1
            entry = table.entries + number * stride
            prefetch(entry + 8 * stride)
            if load64(entry) < 0 and idle_for(entry, now) >= table.idle:
                hand_over(table, number, IDLE)
                take_out(table, number)
                give_back(table, number)
        table.sweep = number

    def insert(table: TableHead, key: int, hash: int, now: int) -> int:
        if times and table.idle != 0 and table.used != 0:
            sweep_some(table, now, SWEEPS)  # bursts of a file are long, and a table must not fill up meanwhile
        number = free_entry(table, hash, now)
        if number == 0:
            table.refused += 1
            number = table.capacity + 1  # nobody's: the index never names it
            clear_record(table, number)
            return number
        entry = table.entries + number * stride
        copy(entry + 8, key + 8, 8 * words - 8)
        clear_record(table, number)
        if times:
            store32(entry + seen_at, now)
            store32(entry + start_at, now)
        store_release(entry, (load64(key) & OF_KEY) | table.mark << 48)
        table.live += 1
        put(table.index, table.buckets, hash, number)
        if table.old_buckets != 0:
            move_bucket(table)
        elif table.live > LOAD * table.buckets:
            grow(table)
        return number

    def grow(table: TableHead) -> None:
        """A second index, twice as large, beside the first, whose buckets move over by and by."""
        table.old_index, table.old_buckets, table.cursor = table.index, table.buckets, 0
        table.buckets *= 2
        table.index = table.index_region + table.buckets * LINE

    def move_bucket(table: TableHead) -> None:
        bucket = table.old_index + table.cursor * LINE
        ahead = bucket + LINE if table.cursor + 1 < table.old_buckets else bucket
        for slot in range(SLOTS):
            prefetch(table.entries + number_at(ahead, slot) * stride)
        for slot in range(SLOTS):
            if load16(bucket + 2 * slot) != 0:
                number = number_at(bucket, slot)
                hash = hash_key(table.entries + number * stride)
                remove(table.old_index, table.old_buckets, hash, number)
                put(table.index, table.buckets, hash, number)
        table.cursor += 1
        if table.cursor == table.old_buckets:
            table.old_buckets = 0

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
            elif table.active != 0 and elapsed(entry, now) >= table.active:
                start_again(table, number, key, now, ACTIVE)
            store32(entry + seen_at, later(load32(entry + seen_at), now))

    def elapsed(entry: int, now: int) -> int:
        gap = (now - load32(entry + start_at)) & 0xFFFFFFFF
        return 0 if gap > 0x7FFFFFFF else gap

    def later(a: int, b: int) -> int:
        return a if ((b - a) & 0xFFFFFFFF) > 0x7FFFFFFF else b

    def take_over(table: TableHead, old: Inherited, before: int, hash: int, now: int) -> int:
        """Move a record from an old table's entry `before`; returns its number here, which may be the one that is
        nobody's: then it stays where it was."""
        was = table_at(old.table)
        entry = was.entries + before * old.stride
        number = insert(table, entry, hash, now)
        if number > table.capacity:
            return number
        for k in range(old.count):
            move = move_at(old.moves + k * MOVE)
            source, to = entry + old.record_at, table.entries + number * stride + record_at
            if move.from_half != 0:
                source = was.cold + before * old.cold_stride
            if move.to_half != 0:
                to = table.cold + number * cold_stride
            copy(to + move.to_at, source + move.from_at, move.size)
        if times and old.times != 0:
            store64(table.entries + number * stride + seen_at, load64(entry + seen_at))
        unlink(was, hash, before)
        store64(entry, 0)
        return number

    def inherit(table: TableHead, key: int, hash: int, now: int) -> int:
        """The number of the flow's entry if an old table had its record, or 0."""
        address = table.old
        while address != 0:
            old = inherited_at(address)
            before = find_step(table_at(old.table), old.stride, key, hash)
            if before != 0:
                return take_over(table, old, before, hash, now)
            address = old.next
        return 0

    @apart
    def inherit_some(table: TableHead, now: int) -> None:
        """Move what lies in the next entries of the old table; go on to the one before it when it is empty."""
        old = inherited_at(table.old)
        was = table_at(old.table)
        for _ in range(AT_ONCE * LOAD):
            number = old.next_entry
            if number > was.used:
                old.next_entry = 1  # a full table did not take all: again
                break
            entry = was.entries + number * old.stride
            old.next_entry = number + 1
            if load64(entry) < 0:
                take_over(table, old, number, hash_key(entry), now)
        if was.live == 0:
            table.old = old.next

    @apart
    def look_up(table: TableHead, key: int, hash: int, i: int, now: int) -> int:
        """What was foreseen is not it."""
        number = find(table, key, hash)
        if number == 0 and table.old != 0:
            number = inherit(table, key, hash, now)
        if number != 0:
            touch(table, number, key, now)
        else:
            number = insert(table, key, hash, now)
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

    def guess(index: int, buckets: int, hash: int) -> int:
        bucket_number, tag = home_of(hash, buckets), tag_of(hash)
        bucket = index + bucket_number * LINE
        found = slots_with(bucket, tag)
        number = select(found == 0, 0, number_at(bucket, trailing_zeros(found | 1 << (SLOTS - 1))))
        if number == 0 and load32(bucket + OVERFLOW_AT) != 0:
            bucket = index + next_of(bucket_number, buckets) * LINE
            found = slots_with(bucket, tag)
            number = select(found == 0, 0, number_at(bucket, trailing_zeros(found | 1 << (SLOTS - 1))))
        return number

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

    @apart
    def sweep(table: TableHead, now: int, packets: int) -> None:
        """With each burst: as many entries that all are looked at `SWEEPS` times within an idle timeout, but no more
        than four for each packet."""
        since = (now - table.swept_at) & 0xFFFFFFFF
        if table.swept_at == 0 or since > 0x7FFFFFFF:
            table.swept_at = now
            return
        wanted = (
            table.used if since * SWEEPS >= table.idle else unsigned_divide(table.used * since * SWEEPS, table.idle)
        )
        if wanted != 0:
            table.swept_at = now
            sweep_some(table, now, min(wanted, 4 * packets + 64))

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

    return TableKernels(record_of, foresee, prefetch_bucket, begin, end, is_forward, close)
