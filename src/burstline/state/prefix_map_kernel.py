"""The compiled longest-prefix match: a walk down the table of `prefix_table.py`."""

from __future__ import annotations

from collections.abc import Callable

from burstline.native.memory import load8, load16, load32, load64, ones, prefetch, select, shift_right, store64, swap32
from burstline.native.struct_type import reference
from burstline.packet.burst import BurstColumns
from burstline.packet.fields import PRESENT
from burstline.simd.memory import scratch
from burstline.state.prefix_map import BITS, PrefixHead
from burstline.state.prefix_table import (
    BELOW,
    CELL,
    CHILD,
    CHILDREN,
    LEAVES,
    NODE_CELLS,
    NOTHING,
    RUNS,
    STRIDE,
    WHOLE,
    PrefixTable,
)
from burstline.state.rule_set_kernel import zeros

GROUP = 32  # packets whose lookups go on together: as many as an L1 cache has lines in flight, and some
table_at = reference(PrefixTable)


def leaf_of(table: int, cell: int, bit: int) -> int:
    """Address of the leaf of a slot."""
    before = ones(load64(cell + RUNS) & ((2 << bit) - 1))
    return table + (load32(cell + LEAVES) + before) * 4


def prefix_find(head_address: int, high: int, low: int) -> int:
    """Value + 1 of the longest prefix, or 0. The address is `high`, then `low`, from the top bit on."""
    head = table_at(head_address)
    if high & head.mask != head.wanted:
        return head.outside
    entry = load32(head.root + shift_right(high << head.skip, head.shift) * 4)
    return walk(head.table, entry & (BELOW - 1), head.start, high, low) if entry & BELOW != 0 else entry


def walk(table: int, node: int, at: int, high: int, low: int) -> int:
    """From a node on, for bit `at` of the address."""
    while True:
        byte = shift_right(select(at < 64, high, low), 56 - (at & 63)) & 0xFF
        cell, bit = table + (node + (byte >> 6)) * CELL, byte & 63
        children = load64(cell + CHILDREN)
        if shift_right(children, bit) & 1 == 0:
            return load32(leaf_of(table, cell, bit))
        node = load32(cell + CHILD) + ones(children & ((1 << bit) - 1)) * NODE_CELLS
        at += STRIDE


def foresight(version: int, offset: int) -> Callable[[int, BurstColumns, int, int], int]:
    """Fetches what lookups of the addresses `offset` bytes into a header will touch: `(map, burst, count, own)`.

    Each step down the table waits for the one before; those of many packets do not wait for each other. The packets of
    a group take each step together, and what a step will read was asked for by the one before.
    """
    header = PRESENT["ipv4"] if version == 4 else PRESENT["ipv6"]
    place = PrefixHead.layout.offset("v4" if version == 4 else "v6")
    last = BITS[version] // 8 - 1

    def address_of(burst: BurstColumns, i: int) -> int:
        return select(burst.present[i] & header != 0, burst.data[i] + burst.l3[i] + offset, zeros())

    def entry_of(head: PrefixTable, address: int) -> int:
        high = swap32(load32(address)) << 32
        if version == 6:
            high |= swap32(load32(address + 4))
        return head.root + shift_right(high << head.skip, head.shift) * 4

    def enter(head: PrefixTable, burst: BurstColumns, first: int, end: int, own: int, room: int) -> int:
        """Of packets that go on below the root write down cell, bit and address; returns how many there are."""
        n, byte = 0, head.start >> 3 & last
        for k in range(first, end):
            address = address_of(burst, load16(own + 8 + 2 * k) if own != 0 else k)
            entry = load32(entry_of(head, address))
            slot = load8(address + byte)
            cell = head.table + ((entry & (BELOW - 1)) + (slot >> 6)) * CELL
            at = room + 32 * n
            store64(at, cell)
            store64(at + 8, slot & 63)
            store64(at + 16, address)
            below = entry & BELOW != 0
            prefetch(select(below, cell, address))
            n += select(below, 1, 0)
        return n

    def step(table: int, n: int, byte: int, room: int) -> int:
        """Go down one level; returns how many can go on."""
        m = 0
        for k in range(n):
            at = room + 32 * k
            cell, bit, address = load64(at), load64(at + 8), load64(at + 16)
            children = load64(cell + CHILDREN)
            is_child = shift_right(children, bit) & 1
            slot = load8(address + byte)
            node = load32(cell + CHILD) + ones(children & ((1 << bit) - 1)) * NODE_CELLS
            below = table + (node + (slot >> 6)) * CELL
            prefetch(select(is_child != 0, below, leaf_of(table, cell, bit)))
            to = room + 32 * m
            store64(to, below)
            store64(to + 8, slot & 63)
            store64(to + 16, address)
            m += is_child
        return m

    def foresee(map_address: int, burst: BurstColumns, count: int, own: int) -> int:
        head = table_at(load64(map_address + place))
        if head.ahead == NOTHING:
            return 0
        room = scratch()
        for first in range(0, count, GROUP):
            end = min(first + GROUP, count)
            for k in range(first, end):
                prefetch(entry_of(head, address_of(burst, load16(own + 8 + 2 * k) if own != 0 else k)))
            if head.ahead == WHOLE:
                n = enter(head, burst, first, end, own, room)
                byte = (head.start >> 3) + 1
                while n > 0:
                    n = step(head.table, n, byte & last, room)  # where there is no step left, no byte is needed
                    byte += 1
        return 0

    return foresee
