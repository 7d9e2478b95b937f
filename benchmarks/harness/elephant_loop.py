"""Our heavy-hitter sketch and DPDK's, over the same packets."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.elephant_traffic import Traffic, flow_of
from burstline.native.kernel import Kernel
from burstline.packet.flow_key import KEY_SIZE
from burstline.state.heavy_hitters import HeavyHitters
from burstline.state.region import Region

MODULE = "benchmarks.harness.elephant_loop_kernel"
TOP, GAP = 100, 100  # ns between packets: ten million a second
IN_CACHE, FOR_ALL = 256, 1 << 40  # packets whose keys are held
_hash_keys = Kernel(f"{MODULE}:hash_keys", int, int, int)
_with_hashes = Kernel(f"{MODULE}:with_hashes", *[int] * 7)
_with_keys = Kernel(f"{MODULE}:with_keys", *[int] * 6)


class Ours:
    """`bl.HeavyHitters` of one worker, from the first packet on."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic, self.elephants = traffic, HeavyHitters(TOP)
        self._sketch, self._at = self.elephants.attach(), 0
        self._room = Region(4096)
        self._hashes = np.zeros(len(traffic), "u8")
        self._keys = traffic.keys.ctypes.data
        _hash_keys(self._keys, self._hashes.ctypes.data, len(traffic))

    def add(self, count: int) -> int:
        """The next packets; returns the cycles."""
        first, self._at = self._at, self._at + count
        return _with_hashes(self._sketch, self._hashes.ctypes.data, self._keys, count, first, GAP, FOR_ALL)

    def cycles(self, hashing: bool) -> float:
        """Cycles a packet, from an empty sketch on, with hashes and keys in the cache, or keys to be hashed."""
        self.elephants.reset()
        self._sketch, count = self.elephants.attach(), len(self.traffic)
        if hashing:
            return _with_keys(self._sketch, self._room.address, self._keys, count, 0, GAP) / count
        return _with_hashes(self._sketch, self._hashes.ctypes.data, self._keys, count, 0, GAP, IN_CACHE) / count

    def top(self) -> list[int]:
        """Numbers of the flows found, by the window that ends now."""
        return [flow_of(elephant.key) for elephant in self.elephants.top(now=self._at * GAP)]

    def new(self) -> list[int]:
        return [flow_of(key) for key in self.elephants.new()]


@dataclass(frozen=True)
class Setting:
    """Of DPDK's sketch."""

    name: str
    error_rate: float
    sample_rate: float
    by_window: bool  # emptied when one ends, or for all packets


SETTINGS = (
    Setting("rte_member, 1 row in 1,000, 3.2 MB", 0.05, 0.001, False),
    Setting("rte_member, 1 row in 80, 256 kB", 0.05, 0.0125, False),
    Setting("rte_member, all packets, 256 kB", 0.000625, 1.0, True),
)


class Theirs:
    """`benchmarks/c/sketch.c`: the library is started once in a process."""

    def __init__(self, library: Path, core: int) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.create.restype = ctypes.c_void_p
        self._c.create.argtypes = [ctypes.c_float, ctypes.c_float, ctypes.c_uint32]
        self._c.add.restype = self._c.bytes.restype = ctypes.c_uint64
        self._c.add.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_int]
        for function in (self._c.bytes, self._c.reset, self._c.destroy):
            function.argtypes = [ctypes.c_void_p]
        self._c.report.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        if self._c.start(str(core).encode()) < 0:
            raise OSError("DPDK's EAL does not start")

    def sketch(self, setting: Setting, traffic: Traffic) -> TheirSketch:
        made = self._c.create(setting.error_rate, setting.sample_rate, TOP)
        if not made:
            raise OSError("rte_member does not make this sketch")
        return TheirSketch(self._c, made, setting, traffic)


class TheirSketch:
    def __init__(self, c: Any, made: int, setting: Setting, traffic: Traffic) -> None:
        self._c, self._made, self.setting, self.traffic = c, made, setting, traffic
        self._at = 0

    @property
    def bytes(self) -> int:
        """Without its heap of keys."""
        return int(self._c.bytes(self._made))

    def add(self, count: int) -> int:
        """The next packets; returns the cycles."""
        keys = self.traffic.keys.ctypes.data + KEY_SIZE * self._at
        self._at += count
        return int(self._c.add(self._made, keys, count, int(self.setting.sample_rate == 1)))

    def all(self, window: int) -> float:
        """Cycles a packet, from an empty sketch on; it is emptied as often as it must be."""
        self.reset()
        self._at, spent, size = 0, 0, len(self.traffic)
        step = window if self.setting.by_window else size
        for first in range(0, size, step):
            if self.setting.by_window:
                self.reset()
            spent += self.add(min(step, size - first))
        return spent / size

    def top(self) -> list[int]:
        keys = np.zeros((1024, KEY_SIZE), "u1")
        return [flow_of(keys[k].tobytes()) for k in range(self._c.report(self._made, keys.ctypes.data))]

    def reset(self) -> None:
        self._c.reset(self._made)

    def destroy(self) -> None:
        self._c.destroy(self._made)
