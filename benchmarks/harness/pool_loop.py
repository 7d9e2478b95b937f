"""Pools whose buffers go from core to core: ours by its kernels, DPDK's, and ours as DPDK's mempool ops."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.buffers.magazines import Magazines, give_kernel, take_kernel
from burstline.dpdk.pool import Pool
from burstline.errors import BurstlineError

BUFFERS = 8191
BYTES = 2304  # from one buffer to the next
START = 1 << 40  # addresses that nobody looks at


@dataclass(frozen=True)
class Side:
    """What the C loop calls with: a function that takes and one that gives, and what each is handed."""

    take: Any
    taker: int
    give: Any
    giver: int
    in_use: Callable[[], int]  # buffers that are not back
    transfers: Callable[[], int] = lambda: 0


class Loop:
    """c/buffers.c, as a library that is loaded."""

    def __init__(self, library: Any) -> None:
        self._c = library
        library.two_cores.restype = library.one_core.restype = ctypes.c_double

    def two(self, side: Side, count: int, burst: int, cores: tuple[int, int]) -> float:
        """ns a buffer, taken on one core and given on the other."""
        seconds = self._c.two_cores(
            side.take, ctypes.c_int64(side.taker), side.give, ctypes.c_int64(side.giver), ctypes.c_int64(count),
            ctypes.c_int64(burst), *cores,
        )  # fmt: skip
        return _each(seconds, count, side)

    def one(self, side: Side, count: int, burst: int) -> float:
        """ns a buffer, taken and given on the core of the caller."""
        seconds = self._c.one_core(
            side.take, side.give, ctypes.c_int64(side.taker), ctypes.c_int64(count), ctypes.c_int64(burst)
        )
        return _each(seconds, count, side)

    def ours(self, same_core: bool) -> Side:
        """A new pool."""
        magazines = Magazines(BUFFERS, 2)
        magazines.add(START + BYTES * np.arange(BUFFERS, dtype=np.int64))
        take, give = ctypes.c_void_p(take_kernel.address), ctypes.c_void_p(give_kernel.address)
        giver = magazines.cache(0 if same_core else 1)

        def transfers() -> int:
            return sum(magazines.count(core).transfers for core in range(2))

        return Side(take, magazines.cache(0), give, giver, lambda: magazines.in_use, transfers)

    def mempool(self, pool: Pool) -> Side:
        return Side(self._c.mempool_take, pool.address, self._c.mempool_give, pool.address, lambda: pool.in_use)

    def nothing(self) -> Side:
        """The loop alone."""
        return Side(self._c.nothing, 0, self._c.nothing, 0, lambda: 0)


def _each(seconds: float, count: int, side: Side) -> float:
    if seconds < 0:
        raise BurstlineError("no threads could be made", "let the process have more")
    if side.in_use():
        raise BurstlineError(f"{side.in_use()} buffers are not back in their pool", "this is a fault of the pool")
    return seconds * 1e9 / count


def two_cores() -> tuple[int, int] | None:
    """The last two cores that this process may use; None where there is one only."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[-2], usable[-1]) if len(usable) > 1 else None
