"""Memory that compiled code works on: zeroed, page-aligned, reserved at once and populated when first touched."""

from __future__ import annotations

import ctypes
import mmap
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

HUGE = 2 << 20


class Region:
    """`size` bytes at `address`, for as long as this object lives. Large regions begin at a huge page and ask for them,
    unless `huge` is false: memory of which little is touched; the kernel takes pages from the memory of the node whose
    core touches them first."""

    def __init__(self, size: int, *, huge: bool = True) -> None:
        self.size = max(size, 1)
        is_large = huge and sys.platform == "linux" and self.size >= HUGE
        # Private: pages that are shared, as Python's own default is, are huge ones on few systems only.
        private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if sys.platform != "win32" else {}
        self._map = mmap.mmap(-1, self.size + (HUGE if is_large else 0), **private)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        skipped = -start % HUGE if is_large else 0
        if is_large:
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self._bytes = memoryview(self._map)[skipped : skipped + self.size]
        self.address = start + skipped
        if (note := getattr(_making, "note", None)) is not None:
            note(self)

    def numpy(self, dtype: Any, count: int, offset: int = 0) -> Any:
        """A NumPy array over the region itself, not a copy."""
        import numpy as np

        return np.frombuffer(self._bytes, dtype, count, offset)

    def view(self, offset: int, size: int) -> memoryview:
        """The memory itself, not a copy."""
        return self._bytes[offset : offset + size]

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self._bytes[offset : offset + size])

    def write(self, offset: int, data: bytes) -> None:
        self._bytes[offset : offset + len(data)] = data

    def i64(self, offset: int) -> int:
        return int.from_bytes(self._bytes[offset : offset + 8], "little", signed=True)

    def set_i64(self, offset: int, value: int) -> None:
        self._bytes[offset : offset + 8] = value.to_bytes(8, "little", signed=True)


class Mapped(Region):
    """A region that is part of a file, shared with who else maps it. `offset` is that of a page."""

    def __init__(self, descriptor: int, offset: int, size: int) -> None:
        self.size = size
        self._map = mmap.mmap(descriptor, size, offset=offset)
        self._bytes = memoryview(self._map)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))


class Block:
    """Memory that holds one structure, whose fields Python reads and sets by name.

    Small blocks lie behind each other, in the order in which they are made: each on a page of its own, they would all
    compete for the same few sets of the L1 cache. None shares a pair of cache lines with another.
    """

    def __init__(self, layout: Any, extra: int = 0) -> None:
        size = layout.size + extra
        self._region, self._at = (Region(size), 0) if size > SMALL else _share(size)
        self.address = self._region.address + self._at
        self.layout = layout

    def get(self, name: str) -> int:
        return self._region.i64(self._at + self.layout.offset(name))

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self._region.set_i64(self._at + self.layout.offset(name), value)


SMALL, SHARED, APART, LINE = 1024, 1 << 16, 128, 64  # bytes
_shared: list[tuple[Region, int]] = []  # the region that small blocks come from at present, and how much is taken
_sharing = threading.Lock()
_making = threading.local()  # what `regions_noted` says, in its thread


@contextmanager
def regions_noted(note: Callable[[Region], None]) -> Iterator[None]:
    """`note` is handed each region that this thread makes in the block, before anybody touches it. Small blocks of
    different ones of these blocks lie in different regions."""
    before = getattr(_making, "note", None), getattr(_making, "shared", None)
    _making.note, _making.shared = note, []
    try:
        yield
    finally:
        _making.note, _making.shared = before


def _share(size: int) -> tuple[Region, int]:
    """A piece of a region, which lives as long as a block in it."""
    own = getattr(_making, "shared", None)
    shared = _shared if own is None else own
    with _sharing:
        region, taken = shared.pop() if shared else (Region(SHARED), 0)
        if taken + size > SHARED:
            region, taken = Region(SHARED), 0
        shared.append((region, -(-(taken + size) // APART) * APART))
        return region, taken


class Lines:
    """Zeroed 64-bit words in whole cache lines, which are one worker's own: `count` lines at `address`."""

    def __init__(self, size: int) -> None:
        self.count = max(1, -(-size // LINE))
        size = self.count * LINE
        self._region, self._at = (Region(size), 0) if size > SMALL else _share(size)
        self.address = self._region.address + self._at

    def i64(self, offset: int) -> int:
        return self._region.i64(self._at + offset)
