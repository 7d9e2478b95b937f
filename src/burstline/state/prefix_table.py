"""Routes of one family as a table for compiled lookups: a flat root, and below it a multibit trie in compressed cells.

The root has an entry for each value of the first bits of an address, as in Gupta, Lin and McKeown, "Routing lookups in
hardware at memory access speeds" (INFOCOM 1998): what is found, or a node. It is as wide as there are routes for, at
most 24 bits of IPv4, and leaves out bits that all routes have in common.

Nodes are those of Asai and Ohara, "Poptrie: a compressed trie with population count for fast and scalable software IP
routing table lookup" (SIGCOMM 2015). Leaves are pushed down, so that every slot of a node is a leaf or a child. 64
slots are a cell of half a cache line: one bit says for each whether it is a child, one whether its leaf differs from
the one before. Ones counted up to a slot are the number of its child or its leaf. Children lie behind each other, and
so do leaves; two leaves have room in the cell itself. A node has four cells, eight bits of the address.

Built level by level over all nodes at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import Block, Region

Array = Any
STRIDE, SLOTS, CELL_SLOTS = 8, 256, 64
BELOW = 1 << 31  # this entry of the root leads to a node; otherwise it is a value + 1, and 0 means no match
NODE_CELLS = SLOTS // CELL_SLOTS
CELL = 32  # bytes
RUNS, CHILDREN, LEAVES, CHILD, INLINE = 0, 8, 16, 20, 24  # bytes into a cell
ROOM = (CELL - INLINE) // 4  # leaves that a cell has room for
NODES_AT_ONCE = 1 << 15  # 32 MiB of slots
MANY = 1 << 14  # routes that are worth a root of 24 bits, 64 MiB for IPv4
WIDEST_SKIP = {4: 24, 6: 48}  # bits
NOTHING, ROOT, WHOLE = 0, 1, 2
FAR = 1 << 20  # bytes: what is larger than this is not expected in the L2 cache


class PrefixTable(Struct):
    """Where a lookup begins. An address is 128 bits from the top on, `high` and `low`; IPv4 fills the first 32."""

    root: i64  # address of its first entry of 32 bits
    table: i64  # address of the first cell
    mask: i64  # of `high`: the bits that all routes have in common,
    wanted: i64  # and their value
    outside: i64  # what is found where they differ
    skip: i64  # how many they are
    shift: i64  # 64 - the root's bits
    start: i64  # bits that are behind us after the root
    ahead: i64  # what is worth doing before lookups: NOTHING, fetch the entry of the ROOT, or WHOLE ways


@dataclass(frozen=True)
class Routes:
    """Routes of one family, by numbers: `high` and `low` halves of the address (IPv4: the top 32 bits), lengths, and
    values + 1; no route twice."""

    version: int
    high: Array
    low: Array
    length: Array
    found: Array

    def where(self, chosen: Array) -> Routes:
        return Routes(self.version, self.high[chosen], self.low[chosen], self.length[chosen], self.found[chosen])

    def bits(self, at: int) -> Array:
        """Eight bits of each prefix."""
        word = self.high if at < 64 else self.low
        return (word >> np.uint64(56 - (at & 63)) & np.uint64(0xFF)).astype(np.int64)


@dataclass(frozen=True)
class Built:
    """A table that workers share, as they only read it."""

    head: Block
    region: Region


def build(routes: Routes) -> Built:
    """A table of routes."""
    shortest_is_all = routes.length == 0
    outside = int(routes.found[shortest_is_all][0]) if shortest_is_all.any() else 0
    routes = routes.where(~shortest_is_all)
    routes = routes.where(np.lexsort((routes.low, routes.high)))
    skip, start = extent(routes)
    slots = np.full(1 << (start - skip), outside, np.uint32)
    first = (routes.high << np.uint64(skip) >> np.uint64(64 - (start - skip))).astype(np.int64)
    cover(slots, first, routes, start)
    longer = routes.length > start
    below = np.unique(first[longer])
    cells = _Cells(len(below))
    rest, parents, above, at = routes.where(longer), first[longer], slots, start
    while len(rest.length):
        rest, parents, above = _next_level(cells, rest, parents, above, at)
        at += STRIDE
    slots[below] = BELOW | NODE_CELLS * np.arange(len(below), dtype=np.uint32)
    region, table = cells.region(slots)
    head = Block(PrefixTable.layout)
    mask = ((1 << skip) - 1) << (64 - skip)
    wanted = int(routes.high[0]) & mask if len(routes.length) else 0
    seldom = len(below) * 16 < len(slots) and routes.version == 4
    head.set(
        root=region.address, table=table, mask=_signed(mask), wanted=_signed(wanted), outside=outside, skip=skip,
        shift=64 - (start - skip), start=start, ahead=NOTHING if region.size < FAR else ROOT if seldom else WHOLE,
    )  # fmt: skip
    return Built(head, region)


def extent(routes: Routes) -> tuple[int, int]:
    """The bits that the root leaves out, and those that are behind it; the latter are whole bytes."""
    count = len(routes.length)
    if not count:
        return 0, STRIDE
    differ = int(np.bitwise_or.reduce(routes.high ^ routes.high[0]))
    skip = min(64 - differ.bit_length(), int(routes.length.min()), WIDEST_SKIP[routes.version])
    start = -(-(skip + STRIDE) // STRIDE) * STRIDE
    longest = min(int(routes.length.max()), 64)
    widest = 24 if count >= MANY else 16
    while start < longest and start + STRIDE <= max(widest, skip + 16):
        start += STRIDE
    return skip, start


def cover(slots: Array, first: Array, routes: Routes, end: int) -> None:
    """Write routes no longer than `end` bits to the slots that they hold, from `first` on, the longest last. Routes of
    one length do not overlap."""
    for length in np.unique(routes.length):
        if length > end:
            break
        chosen = routes.length == length
        size = 1 << (end - int(length))
        where, found = first[chosen], routes.found[chosen]
        if len(where) < 64:
            for at, value in zip(where.tolist(), found.tolist(), strict=True):
                slots[at : at + size] = value
        else:
            slots[(where[:, None] + np.arange(size)).ravel()] = np.repeat(found, size)


def _next_level(cells: _Cells, routes: Routes, parents: Array, above: Array, at: int) -> tuple[Routes, Array, Array]:
    """Add the nodes below the slots that `routes` lie in, `parents` of the level `above`, which ends after `at` bits.
    Gives the routes that are still longer, with their slots."""
    begins = np.concatenate(([True], parents[1:] != parents[:-1]))
    node = np.cumsum(begins) - 1
    inherited = above[parents[begins]]
    slot = node * SLOTS + routes.bits(at)
    longer = routes.length > at + STRIDE
    slots = np.empty(len(inherited) * SLOTS, np.uint32)
    for low in range(0, len(inherited), NODES_AT_ONCE):
        high = min(low + NODES_AT_ONCE, len(inherited))
        part = slice(*np.searchsorted(node, (low, high)))
        some = slots[low * SLOTS : high * SLOTS]
        some[:] = np.repeat(inherited[low:high], SLOTS)
        cover(some, slot[part] - low * SLOTS, routes.where(part), at + STRIDE)
        cells.add(some, np.unique((slot[part] - low * SLOTS)[longer[part]]))
    return routes.where(longer), slot[longer], slots


class _Cells:
    """Cells of all levels, the highest first, as arrays."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes  # below the root
        self.runs = [np.empty(0, "<u8")]
        self.children = [np.empty(0, "<u8")]
        self.counts = [np.empty(0, np.int64)]
        self.leaves = [np.empty(0, np.uint32)]

    def add(self, slots: Array, children: Array) -> None:
        """Cells of these slots, some of which are children, in order."""
        is_child = np.zeros(len(slots), bool)
        is_child[children] = True
        rows = slots.reshape(-1, CELL_SLOTS)
        if len(children):  # a child's slot goes on with the leaf before it
            rows = _filled(rows, is_child.reshape(-1, CELL_SLOTS))
        begins = np.zeros(rows.shape, bool)
        np.not_equal(rows[:, 1:], rows[:, :-1], out=begins[:, 1:])
        self.runs.append(_bits(begins))
        self.children.append(_bits(is_child))
        begins[:, 0] = True
        self.counts.append(begins.sum(axis=1, dtype=np.int64))
        self.leaves.append(rows[begins])

    def region(self, root: Array) -> tuple[Region, int]:
        """The root, all cells, then the leaves that have no room in theirs; and the address of the cells."""
        runs, children = np.concatenate(self.runs), np.concatenate(self.children)
        counts, leaves = np.concatenate(self.counts), np.concatenate(self.leaves)
        cells, words = len(runs), CELL // 4
        inside = counts <= ROOM
        far = np.where(inside, 0, counts)
        at = np.where(inside, np.arange(cells) * words + INLINE // 4, cells * words + np.cumsum(far) - far)
        below = _ones(children)
        child = NODE_CELLS * (self.nodes + np.cumsum(below) - below)
        begin = 4 * len(root)
        region = Region(begin + 4 * (cells * words + int(far.sum())))
        region.numpy("<u4", len(root))[:] = root
        wide = region.numpy("<u8", cells * words // 2, begin).reshape(cells, words // 2)
        wide[:, RUNS // 8], wide[:, CHILDREN // 8] = runs, children
        table = region.numpy("<u4", region.size // 4 - len(root), begin)
        table[LEAVES // 4 : cells * words : words] = at
        table[CHILD // 4 : cells * words : words] = child
        first = np.cumsum(counts) - counts
        table[np.repeat(at - first, counts) + np.arange(len(leaves))] = leaves
        return region, region.address + begin


def _filled(rows: Array, is_child: Array) -> Array:
    before = np.where(is_child, 0, np.arange(CELL_SLOTS))
    np.maximum.accumulate(before, axis=1, out=before)
    return np.take_along_axis(rows, before, axis=1)


def _bits(flags: Array) -> Array:
    return np.packbits(flags.reshape(-1), bitorder="little").view("<u8")


def _ones(words: Array) -> Array:
    return np.bitwise_count(words).astype(np.int64)


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number
