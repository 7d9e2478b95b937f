"""The compiled flow table: open addressing over 8-byte slots (tag and number), entries in order of arrival.

A lookup that hits reads one line of the index and one of the entry when the record fits beside its key. The index
doubles inside memory that was reserved at the start: inserting allocates nothing.
"""

from __future__ import annotations

from burstline.native.memory import (
    clear,
    copy,
    load32,
    load64,
    prefetch,
    prefetch_to_write,
    shift_right,
    store32,
    store64,
)
from burstline.state.flow_table import KEY_SIZE, RECORD_AT, TableHead


def same_key(a: int, b: int) -> bool:
    differ = (load64(a) ^ load64(b)) | (load64(a + 8) ^ load64(b + 8)) | (load64(a + 16) ^ load64(b + 16))
    differ |= (load64(a + 24) ^ load64(b + 24)) | (load64(a + 32) ^ load64(b + 32))
    return differ == 0


def flow_lookup(table: TableHead, key: int, hash: int, stride: int) -> int:
    """Address of the record of the flow `key`; a new flow gets a cleared one."""
    tag = shift_right(hash, 32)
    mask, index = table.mask, table.index
    at = tag & mask
    slot = load64(index + at * 8)
    while slot != 0:
        if shift_right(slot, 32) == tag:
            entry = table.entries + (slot & 0xFFFFFFFF) * stride
            if same_key(entry, key):
                return entry + RECORD_AT
        at = (at + 1) & mask
        slot = load64(index + at * 8)
    return flow_insert(table, key, tag, at, stride)


def flow_insert(table: TableHead, key: int, tag: int, at: int, stride: int) -> int:
    if table.used == table.capacity:
        table.refused += 1
        clear(table.spare + RECORD_AT, stride - RECORD_AT)
        return table.spare + RECORD_AT
    number = table.used + 1
    table.used = number
    entry = table.entries + number * stride
    copy(entry, key, KEY_SIZE)
    store32(entry + KEY_SIZE, tag)
    store64(table.index + at * 8, tag << 32 | number)
    if 2 * number > table.mask + 1:
        grow(table, stride)
    return entry + RECORD_AT


def grow(table: TableHead, stride: int) -> None:
    slots = 2 * (table.mask + 1)
    index = table.index_region + slots * 8
    mask = slots - 1
    for number in range(1, table.used + 1):
        tag = load32(table.entries + number * stride + KEY_SIZE)
        at = tag & mask
        while load64(index + at * 8) != 0:
            at = (at + 1) & mask
        store64(index + at * 8, tag << 32 | number)
    table.index = index
    table.mask = mask


def prefetch_slot(table: TableHead, hash: int) -> None:
    prefetch(table.index + (shift_right(hash, 32) & table.mask) * 8)


def prefetch_entry(table: TableHead, hash: int, stride: int) -> None:
    """The entry that the first slot names: nearly always the right one."""
    slot = load64(table.index + (shift_right(hash, 32) & table.mask) * 8)
    prefetch_to_write(table.entries + (slot & 0xFFFFFFFF) * stride)
