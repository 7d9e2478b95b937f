"""Routes of one family as a table for compiled lookups: a multibit trie in compressed cells.

After Asai and Ohara, "Poptrie: a compressed trie with population count for fast and scalable software IP routing table
lookup" (SIGCOMM 2015). Leaves are pushed down, so that every slot of a node is a leaf or a child. 64 slots are a cell of
half a cache line: one bit says for each whether it is a child, one whether its leaf differs from the one before. Ones
counted up to a slot are the number of its child or its leaf. Children lie behind each other, and so do leaves; two leaves
have room in the cell itself. Nodes have four cells, eight bits of the address; the root is as wide as there are routes
for, and leaves out bits that all routes have in common.

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
NODE_CELLS = SLOTS // CELL_SLOTS
CELL = 32  # bytes
RUNS, CHILDREN, LEAVES, CHILD, INLINE = 0, 8, 16, 20, 24  # bytes into a cell
ROOM = (CELL - INLINE) // 4  # leaves that a cell has room for
NODES_AT_ONCE = 1 << 15  # 32 MiB of slots
LEAST_ROOT = 1024  # cells
WIDEST_SKIP = {4: 24, 6: 48}  # bits
FAR = 1 << 20  # bytes: what is larger than this is not expected in the L2 cache


class PrefixTable(Struct):
    """Where a lookup begins. An address is 128 bits from the top on, `high` and `low`; IPv4 fills the first 32."""

    table: i64  # address of the first cell
    mask: i64  # of `high`: the bits that all routes have in common,
    wanted: i64  # and their value
    outside: i64  # what is found where they differ
    skip: i64  # how many they are
    shift: i64  # 64 - the root's bits
    start: i64  # bits that are behind us after the root
    far: i64  # whether lookups will wait for memory


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
    levels = _Levels()
    slots = np.full(1 << (start - skip), outside, np.uint32)
    root = (routes.high << np.uint64(skip) >> np.uint64(64 - (start - skip))).astype(np.int64)
    cover(slots, root, routes, start)
    longer = routes.length > start
    levels.add(slots, np.unique(root[longer]))
    rest, parents = routes.where(longer), root[longer]
    while len(rest.length):
        rest, parents, slots = _next_level(levels, rest, parents, slots, start)
        start += STRIDE
    region = levels.region()
    head = Block(PrefixTable.layout)
    mask = ((1 << skip) - 1) << (64 - skip)
    wanted = int(routes.high[0]) & mask if len(routes.length) else 0
    head.set(
        table=region.address, mask=_signed(mask), wanted=_signed(wanted), outside=outside,
        skip=skip, shift=64 - levels.root_bits, start=skip + levels.root_bits, far=int(region.size > FAR),
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
    while start < longest and 1 << (start + STRIDE - skip) <= CELL_SLOTS * max(LEAST_ROOT, count // 4):
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


def _next_level(levels: _Levels, routes: Routes, parents: Array, above: Array, at: int) -> tuple[Routes, Array, Array]:
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
        levels.add(some, np.unique((slot[part] - low * SLOTS)[longer[part]]))
    return routes.where(longer), slot[longer], slots


class _Levels:
    """Cells from the root on, as arrays."""

    def __init__(self) -> None:
        self.runs: list[Array] = []
        self.children: list[Array] = []
        self.counts: list[Array] = []
        self.leaves: list[Array] = []
        self.root_bits = 0

    def add(self, slots: Array, children: Array) -> None:
        """Cells of these slots, some of which are children, in order."""
        if not self.root_bits:
            self.root_bits = len(slots).bit_length() - 1
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

    def region(self) -> Region:
        """All cells, then the leaves that have no room in theirs."""
        runs, children = np.concatenate(self.runs), np.concatenate(self.children)
        counts, leaves = np.concatenate(self.counts), np.concatenate(self.leaves)
        cells, words = len(runs), CELL // 4
        inside = counts <= ROOM
        far = np.where(inside, 0, counts)
        at = np.where(inside, np.arange(cells) * words + INLINE // 4, cells * words + np.cumsum(far) - far)
        below = _ones(children)
        root = 1 << (self.root_bits - CELL_SLOTS.bit_length() + 1)
        child = root + NODE_CELLS * (np.cumsum(below) - below)
        region = Region(4 * (cells * words + int(far.sum())))
        wide = region.numpy("<u8", cells * words // 2).reshape(cells, words // 2)
        wide[:, RUNS // 8], wide[:, CHILDREN // 8] = runs, children
        table = region.numpy("<u4", region.size // 4)
        table[LEAVES // 4 : cells * words : words] = at
        table[CHILD // 4 : cells * words : words] = child
        first = np.cumsum(counts) - counts
        table[np.repeat(at - first, counts) + np.arange(len(leaves))] = leaves
        return region


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
