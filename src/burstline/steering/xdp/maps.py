"""BPF maps: memory that the program in the kernel and this process share."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Sequence
from functools import cache
from typing import Any

from burstline.errors import BurstlineError
from burstline.steering.xdp import bpf

HASH, ARRAY, PERCPU_ARRAY, XSKMAP = 1, 2, 6, 17
NO_PREALLOC, MMAPABLE = 1, 1 << 10


class Map:
    """One map, for as long as this object is open. Raises BurstlineError where the kernel makes none."""

    def __init__(self, name: str, kind: int, key: int, value: int, entries: int, flags: int = 0) -> None:
        self.name, self.key_size, self.value_size, self.entries = name, key, value, entries
        attributes = struct.pack("<IIIIIII16s", kind, key, value, entries, flags, 0, 0, name.encode()[:15])
        try:
            self.fd = bpf.call(bpf.MAP_CREATE, attributes)
        except OSError as error:
            if error.errno == errno.EPERM:
                raise bpf.not_allowed("make a BPF map") from None
            hint = "Linux 5.18 or newer is needed, and memory for it" if error.errno != errno.ENOMEM else "give it less"
            raise BurstlineError(f"the kernel made no BPF map {name}: {error.strerror}", hint) from None

    def set(self, key: bytes, value: bytes) -> None:
        """Raises OSError."""
        k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
        bpf.call(bpf.MAP_UPDATE, struct.pack("<IIQQQ", self.fd, 0, bpf.address(k), bpf.address(v), 0))

    def set_many(self, keys: bytes, values: bytes) -> None:
        """As many at once as there are. Raises OSError."""
        count = len(keys) // self.key_size
        k, v = ctypes.create_string_buffer(keys, len(keys)), ctypes.create_string_buffer(values, len(values))
        attributes = struct.pack("<QQQQIIQQ", 0, 0, bpf.address(k), bpf.address(v), count, self.fd, 0, 0)
        bpf.call(bpf.MAP_UPDATE_BATCH, attributes)

    def remove(self, key: bytes) -> bool:
        """Whether it was there. Raises OSError."""
        k = ctypes.create_string_buffer(key, len(key))
        try:
            bpf.call(bpf.MAP_DELETE, struct.pack("<IIQ", self.fd, 0, bpf.address(k)))
        except FileNotFoundError:
            return False
        return True

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


class Counters(Map):
    """Packets and bytes by number: of each CPU its own, so that none waits for another."""

    def __init__(self, name: str, entries: int) -> None:
        super().__init__(name, PERCPU_ARRAY, 4, 16, entries)

    def read(self, number: int) -> tuple[int, int]:
        """Over all CPUs."""
        key = ctypes.create_string_buffer(struct.pack("<I", number), 4)
        found = ctypes.create_string_buffer(16 * cpus())
        bpf.call(bpf.MAP_LOOKUP, struct.pack("<IIQQQ", self.fd, 0, bpf.address(key), bpf.address(found), 0))
        words = struct.unpack(f"<{2 * cpus()}Q", found.raw)
        return sum(words[::2]), sum(words[1::2])


class Settings(Map):
    """One value, which this process has in its own memory: what it writes there the program reads at once."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(name, ARRAY, 4, size, 1, MMAPABLE)
        self._memory = mmap.mmap(self.fd, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE)
        self._views: list[memoryview] = []

    def words(self, code: str, at: int, count: int) -> Any:
        """Numbers of one size, as an array: each is written whole."""
        size = struct.calcsize(code)
        self._views.append(memoryview(self._memory)[at : at + size * count].cast(code))  # type: ignore[call-overload]
        return self._views[-1]

    def write(self, at: int, data: Sequence[int] | bytes) -> None:
        self._memory[at : at + len(data)] = bytes(data)

    def close(self) -> None:
        """The kernel keeps what is mapped, so it is unmapped, too."""
        for view in self._views:
            view.release()
        self._memory.close()
        super().close()


@cache
def cpus() -> int:
    """How many a per-CPU map has values of: those that may ever come (Documentation/bpf/map_array.rst)."""
    with open("/sys/devices/system/cpu/possible") as file:
        return sum(int(part.split("-")[-1]) - int(part.split("-")[0]) + 1 for part in file.read().split(","))
