"""What one worker takes buffers from: the size classes of a pool, those of its own node first, smallest first."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import Region


class Stock(Struct):
    """The head; behind it lie the shelves."""

    shelves: i64  # how many


class Shelf(Struct):
    """One size class of one node."""

    size: i64  # bytes of each buffer
    start: i64  # the addresses of its buffers
    end: i64
    cache: i64  # address of the worker's CoreCache there


HEAD = 64
ONE = 56  # bytes into it: where the kernels pass an address
SHELF = Shelf.layout.size


def stock_of(shelves: Sequence[tuple[int, int, int, int]]) -> Region:
    """Memory that holds a stock: each shelf is size, start, end, and the address of the worker's cache."""
    region = Region(HEAD + len(shelves) * SHELF)
    region.set_i64(Stock.layout.offset("shelves"), len(shelves))
    for number, values in enumerate(shelves):
        for name, value in zip(("size", "start", "end", "cache"), values, strict=True):
            region.set_i64(HEAD + number * SHELF + Shelf.layout.offset(name), value)
    return region
