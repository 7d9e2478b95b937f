"""A pool of packet buffers for each size class, of one NUMA node."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from burstline.dpdk.pool import Pool


class Pools:
    """`counts` buffers by the bytes of packet that each holds; `make(count, data_room=size)` makes each pool. Raises
    BurstlineError when memory does not suffice."""

    def __init__(self, counts: Mapping[int, int], make: Callable[..., Pool]) -> None:
        self._pools: dict[int, Pool] = {}
        with ExitStack() as stack:
            for size in sorted(counts):
                pool = make(counts[size], data_room=size)
                stack.callback(pool.close)
                self._pools[size] = pool
            stack.pop_all()
        # Room and address of each, in rising order, then 0: what bl_dpdk_gather is called with.
        words = [word for size, pool in self._pools.items() for word in (size, pool.address)]
        self._table = (ctypes.c_int64 * (len(words) + 2))(*words)

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(self._pools)

    @property
    def by_size(self) -> Mapping[int, Pool]:
        return self._pools

    def of(self, size: int) -> Pool | None:
        """The pool whose buffers are the smallest that hold a packet of `size` bytes; None when no buffer does."""
        return next((pool for room, pool in self._pools.items() if room >= size), None)

    @property
    def table(self) -> int:
        """Address of the pools for compiled code: pairs of int64, bytes of room and the pool's address, in rising order
        of room, then a 0. Valid until they are closed."""
        return ctypes.addressof(self._table)

    @property
    def count(self) -> int:
        """Buffers in all."""
        return sum(pool.count for pool in self._pools.values())

    @property
    def in_use(self) -> int:
        """Buffers that somebody holds."""
        return sum(pool.in_use for pool in self._pools.values())

    def close(self) -> None:
        """Give the memory back. Raises BurstlineError while a buffer is in use."""
        for pool in self._pools.values():
            pool.close()
