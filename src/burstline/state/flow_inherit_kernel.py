"""The compiled half of what a table takes over from one before a swap (flow_inherit.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from burstline.native.build import apart
from burstline.native.memory import copy, load64, store64
from burstline.native.struct_type import reference
from burstline.state.flow_entry_kernel import EntryKernels
from burstline.state.flow_head import LOAD, Geometry, TableHead
from burstline.state.flow_inherit import Inherited, Move
from burstline.state.flow_room_kernel import RoomKernels

AT_ONCE = 8 * LOAD  # entries to look at with each burst
MOVE = Move.layout.size
table_at, inherited_at, move_at = reference(TableHead), reference(Inherited), reference(Move)


@dataclass(frozen=True)
class InheritKernels:
    inherit: Callable[[TableHead, int, int, int], int]  # (table, key, hash, now)
    inherit_some: Callable[[TableHead, int], None]  # (table, now)


def inherit_kernels(
    at: Geometry, hash_key: Callable[[int], int], entries: EntryKernels, room: RoomKernels
) -> InheritKernels:
    """Of the new table."""
    stride, record_at, cold_stride, times, seen_at = at.stride, at.record_at, at.cold_stride, at.times, at.seen_at
    find_step, unlink, insert = entries.find_step, entries.unlink, room.insert

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
        for _ in range(AT_ONCE):
            number = old.next_entry
            if table.free == 0 and table.used == table.capacity:
                break  # what finds no room stays where it is until a packet of its flow comes
            if number > was.used:
                old.next_entry = 1
                break
            entry = was.entries + number * old.stride
            old.next_entry = number + 1
            if load64(entry) < 0:
                take_over(table, old, number, hash_key(entry), now)
        if was.live == 0:
            table.old = old.next

    return InheritKernels(inherit, inherit_some)
