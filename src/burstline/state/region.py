"""Memory that compiled code works on: zeroed, page-aligned, reserved at once and populated when first touched."""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import Any


class Region:
    """`size` bytes at `address`, for as long as this object lives. Large regions ask for huge pages."""

    def __init__(self, size: int) -> None:
        self.size = max(size, 1)
        self._map = mmap.mmap(-1, self.size)
        if sys.platform == "linux" and self.size >= 2 << 20:
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self._view = (ctypes.c_char * self.size).from_buffer(self._map)
        self.address = ctypes.addressof(self._view)

    def numpy(self, dtype: Any, count: int, offset: int = 0) -> Any:
        """A NumPy array over the region itself, not a copy."""
        import numpy as np

        return np.frombuffer(self._map, dtype, count, offset)

    def read(self, offset: int, size: int) -> bytes:
        return self._map[offset : offset + size]

    def write(self, offset: int, data: bytes) -> None:
        self._map[offset : offset + len(data)] = data

    def i64(self, offset: int) -> int:
        return int.from_bytes(self._map[offset : offset + 8], "little", signed=True)

    def set_i64(self, offset: int, value: int) -> None:
        self._map[offset : offset + 8] = value.to_bytes(8, "little", signed=True)


class Block(Region):
    """A region that holds one structure, whose fields Python reads and sets by name."""

    def __init__(self, layout: Any, extra: int = 0) -> None:
        super().__init__(layout.size + extra)
        self.layout = layout

    def get(self, name: str) -> int:
        return self.i64(self.layout.offset(name))

    def set(self, **values: int) -> None:
        for name, value in values.items():
            self.set_i64(self.layout.offset(name), value)
