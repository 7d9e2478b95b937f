"""One buffer of a size, from the class that fits: for compiled code that makes packets."""

from __future__ import annotations

from burstline.buffers.magazine import CoreCache
from burstline.buffers.magazine_kernel import give, take
from burstline.buffers.stock import HEAD, ONE, SHELF, Shelf, Stock
from burstline.native.memory import load64, store64
from burstline.native.struct_type import reference

stock_at, shelf_at, cache_at = reference(Stock), reference(Shelf), reference(CoreCache)


def take_buffer(stock: int, size: int) -> int:
    """The address of a free buffer of at least `size` bytes: of the smallest class that has one, else of the next; 0
    when none has."""
    head = stock_at(stock)
    for number in range(head.shelves):
        shelf = shelf_at(stock + HEAD + number * SHELF)
        if shelf.size >= size and take(cache_at(shelf.cache), stock + ONE, 1) == 1:
            return load64(stock + ONE)
    return 0


def give_buffer(stock: int, address: int) -> int:
    """Give a buffer back, whichever worker took it; returns its size, 0 where it is none of the pool's."""
    head = stock_at(stock)
    for number in range(head.shelves):
        shelf = shelf_at(stock + HEAD + number * SHELF)
        if shelf.start <= address < shelf.end:
            store64(stock + ONE, address)
            give(cache_at(shelf.cache), stock + ONE, 1)
            return shelf.size
    return 0
