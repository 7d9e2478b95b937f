"""Memory for buffers of one size, chunk by chunk: reserved at once, populated and given back as the pool needs it."""

from __future__ import annotations

import ctypes
import errno
import functools
import mmap
import os
import sys
from typing import Any, Protocol

from burstline.errors import BurstlineError
from burstline.numa.memory_policy import prefer
from burstline.state.region import HUGE, Region

SMALLEST, PARTS = 1 << 16, 256  # bytes of a chunk; chunks that a class has, if they can be so small and so large
FEWER = "ask for fewer buffers, or free some memory"
MADV_POPULATE_WRITE = 23  # not among mmap's constants; Linux 5.14


class Chunks(Protocol):
    """`count` chunks at most, of `per_chunk` buffers and `bytes` bytes each."""

    count: int
    per_chunk: int
    bytes: int

    def populate(self, chunk: int) -> Any:
        """Have the memory of a chunk; returns its buffers' addresses, an int64 array in ascending order. Raises
        BurstlineError when memory does not suffice."""

    def release(self, chunk: int) -> None:
        """Give the memory of a chunk back: nobody has a buffer of it."""

    def place(self, addresses: Any) -> tuple[Any, Any]:
        """The chunk of each buffer, and its number there; chunk -1 for buffers that stay for good."""


class OwnChunks:
    """Chunks in memory of this process: at least `most` buffers of `size` bytes, a multiple of 64, of a NUMA node where
    the system lets one choose."""

    def __init__(self, size: int, most: int, node: int = 0) -> None:
        self.size = size
        part = 1 << (size * most // PARTS).bit_length() - 1 if size * most >= PARTS else 0
        self.bytes = -(-max(min(part, HUGE), SMALLEST, size) // mmap.PAGESIZE) * mmap.PAGESIZE
        self.per_chunk = self.bytes // size
        self.count = -(-most // self.per_chunk)
        try:
            self._memory = Region(self.count * self.bytes, huge=self.bytes == HUGE)
        except (OSError, OverflowError) as error:
            raise BurstlineError(f"no memory for {most:,} buffers of {size} bytes: {error}", FEWER) from None
        self.start = self._memory.address
        self.end = self.start + self.count * self.bytes
        prefer(self._memory.address, self._memory.size, node)

    def populate(self, chunk: int) -> Any:
        import numpy as np

        at = self.start + chunk * self.bytes
        error = _madvise(at, self.bytes, MADV_POPULATE_WRITE) if sys.platform == "linux" else errno.EINVAL
        if error not in (0, errno.EINVAL):
            raise BurstlineError(f"no memory for {self.per_chunk} buffers of {self.size} bytes: {os.strerror(error)}",
                                 FEWER)  # fmt: skip
        if error:  # an older kernel, or another one
            for page in range(at, at + self.bytes, mmap.PAGESIZE):
                ctypes.c_char.from_address(page).value = b"\0"
        return at + np.arange(self.per_chunk, dtype=np.int64) * self.size

    def release(self, chunk: int) -> None:
        if sys.platform == "linux" and _madvise(self.start + chunk * self.bytes, self.bytes, mmap.MADV_DONTNEED):
            raise BurstlineError("the system does not take memory back", "this is a fault of burstline: report it")

    def place(self, addresses: Any) -> tuple[Any, Any]:
        away = addresses - self.start
        return away // self.bytes, away % self.bytes // self.size

    def room(self, address: int) -> memoryview:
        """The writable memory of one buffer."""
        at = address - self.start
        return self._memory._bytes[at : at + self.size]


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _madvise(address: int, length: int, advice: int) -> int:
    """0, or the number of the error (madvise(2))."""
    done = _libc().madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), ctypes.c_int(advice))
    return ctypes.get_errno() if done else 0
