"""The compiled longest-prefix match: a walk down the table of `prefix_table.py`."""

from __future__ import annotations

from burstline.native.memory import load32, load64, ones, select, shift_right
from burstline.native.struct_type import reference
from burstline.state.prefix_table import CELL, CHILD, CHILDREN, LEAVES, NODE_CELLS, RUNS, STRIDE, PrefixTable

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
    table, at = head.table, head.start
    slot = shift_right(high << head.skip, head.shift)
    cell, bit = table + shift_right(slot, 6) * CELL, slot & 63
    children = load64(cell + CHILDREN)
    while shift_right(children, bit) & 1 != 0:
        byte = shift_right(select(at < 64, high, low), 56 - (at & 63)) & 0xFF
        node = load32(cell + CHILD) + ones(children & ((1 << bit) - 1)) * NODE_CELLS
        cell, bit = table + (node + (byte >> 6)) * CELL, byte & 63
        children = load64(cell + CHILDREN)
        at += STRIDE
    return load32(leaf_of(table, cell, bit))
