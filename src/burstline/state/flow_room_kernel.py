"""The compiled way of new flows into a table: free entries, the index that grows, and room that is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.native.build import apart
from burstline.native.memory import copy, load16, load64, prefetch, store32, store_release, unsigned_divide
from burstline.state.flow_entry_kernel import OF_KEY, EntryKernels, elapsed
from burstline.state.flow_head import EVICTED, IDLE, LINE, LOAD, SLOTS, Geometry, TableHead
from burstline.state.flow_index_kernel import home_of, next_of, number_at, put, remove

SWEEPS = 4  # times that all entries are looked at within an idle timeout


@dataclass(frozen=True)
class RoomKernels:
    insert: Callable[[TableHead, int, int, int], int]  # (table, key, hash, now): the new entry's number
    move_bucket: Callable[[TableHead], None]  # of the old index, while the table grows
    sweep: Callable[[TableHead, int, int], None]  # (table, now, packets)


def room_kernels(at: Geometry, hash_key: Callable[[int], int], entries: EntryKernels) -> RoomKernels:
    """Of one table."""
    words, stride, times = at.key // 8, at.stride, at.times
    seen_at, start_at = at.seen_at, at.start_at
    clear_record, hand_over, take_out, give_back, idle_for = (
        entries.clear_record, entries.hand_over, entries.take_out, entries.give_back, entries.idle_for,
    )  # fmt: skip

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

    @apart
    def sweep(table: TableHead, now: int, packets: int) -> None:
        """With each burst: as many entries that all are looked at `SWEEPS` times within an idle timeout, but no more
        than four for each packet."""
        since = elapsed(table.swept_at, now)
        if table.swept_at == 0 or since == 0:
            table.swept_at = now
            return
        wanted = (
            table.used if since * SWEEPS >= table.idle else unsigned_divide(table.used * since * SWEEPS, table.idle)
        )
        if wanted != 0:
            table.swept_at = now
            sweep_some(table, now, min(wanted, 4 * packets + 64))

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

    def insert(table: TableHead, key: int, hash: int, now: int) -> int:
        """A table without room gives the entry that is nobody's, behind all others: the index never names it."""
        if times and table.idle != 0 and table.used != 0:
            sweep_some(table, now, SWEEPS)  # bursts of a file are long, and a table must not fill up meanwhile
        number = free_entry(table, hash, now)
        if number == 0:
            table.refused += 1
            number = table.capacity + 1
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

    return RoomKernels(insert, move_bucket, sweep)
