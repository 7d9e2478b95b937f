"""Pools of mbufs whose free ones lie in magazines: DPDK's mempool with ops of ours, which any driver can use.

https://doc.dpdk.org/guides-22.11/prog_guide/mempool_lib.html#mempool-handlers
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

from burstline.buffers.magazine import ROUNDS, CoreCache
from burstline.buffers.magazines import APART, Magazines, give_kernel, rounds_for, take_kernel
from burstline.buffers.size_class import SizeClass
from burstline.buffers.usage import ClassUsage, usage_of
from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool, no_memory
from burstline.errors import BurstlineError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.region import HUGE, Block, Region

OPS = "burstline"
_serial = itertools.count()


class MempoolOps(Struct):
    """What the ops know of a pool (dpdk/_mempool_ops.pxi)."""

    caches: i64
    apart: i64
    lcores: i64
    take: i64
    give: i64
    taken_at: i64
    given_at: i64
    added: i64
    stager: i64
    staged: i64
    staged_count: i64
    guests: i64


@functools.cache
def _register() -> None:
    native.register_mempool_ops(OPS)


class MbufPool(Pool):
    """A `Pool` of `count` mbufs that can `grow` to `most`, while other threads use it.

    Each lcore has magazines of its own, of at most `rounds`; threads that have no lcore share theirs. Before them lies
    DPDK's own cache of `cache` mbufs, since drivers that free one mbuf at a time would call the ops for each.
    """

    def __init__(
        self,
        count: int = 16383,
        *,
        most: int = 0,
        data_room: int = 2048,
        cache: int = 256,
        software: bool = True,
        numa_node: int = -1,
        rounds: int = ROUNDS,
    ) -> None:
        _register()
        most = max(count, most)
        chunk_room = 2 * HUGE // (data_room + native.HEADROOM)  # chunks of more buffers than `most` says
        self.magazines = Magazines(most + chunk_room, native.MAX_LCORE + 1, min(rounds, rounds_for(most)))
        self._ops = Block(MempoolOps.layout)
        self._ops.set(
            caches=self.magazines.cache(0), apart=APART, lcores=native.MAX_LCORE, take=take_kernel.address,
            give=give_kernel.address, taken_at=CoreCache.layout.offset("taken"),
            given_at=CoreCache.layout.offset("given"),
        )  # fmt: skip
        staged = Region(8 * count, huge=False)
        native.pool_stage(self._ops.address, staged.address)
        try:
            super().__init__(
                count, data_room=data_room, cache=cache, software=software, numa_node=numa_node, ops=OPS,
                config=self._ops.address,
            )  # fmt: skip
        finally:
            found = native.pool_stage(self._ops.address, 0)
        self._add(staged.numpy("i8", found))
        chunks = MbufChunks(self, most - count)
        native.pool_most(self.address, count + chunks.count * chunks.per_chunk)
        self._class = SizeClass(chunks, self.magazines)

    @property
    def size_class(self) -> SizeClass:
        """What its free mbufs are kept by."""
        return self._class

    def cached(self, lcore: int) -> int:
        return super().cached(lcore) + self.magazines.count(lcore).cached

    def usage(self) -> ClassUsage:
        """What its mbufs are doing. Those in DPDK's caches are free ones of the lcore that has them."""
        found = usage_of(self.data_room, self.numa_node, self._class)
        front = [super(MbufPool, self).cached(core.core) if core.core < native.MAX_LCORE else 0 for core in found.cores]
        cores = [
            replace(core, taken=core.taken - held, cached=core.cached + held)
            for core, held in zip(found.cores, front, strict=True)
        ]
        return replace(found, in_use=found.in_use - sum(front), cached=found.cached + sum(front), cores=cores)

    def grow(self, n: int) -> int:
        """Add at least `n` mbufs, as far as `most` allows, and return how many. Raises BurstlineError where there is no
        memory."""
        done = self._class.grow(n)
        self._changed()
        return done

    def shrink(self, n: int) -> int:
        """Give back memory of up to `n` free mbufs, of those that `grow` added; returns of how many."""
        done = self._class.shrink(n)
        self._changed()
        return done

    def tidy(self) -> int:
        """As `SizeClass.tidy`."""
        done = self._class.tidy()
        self._changed()
        return done

    def _recover(self) -> None:
        for lcore in range(self.magazines.cores):
            self.magazines.hand_in(lcore)
        super()._recover()

    def _add(self, addresses: Any) -> None:
        self.magazines.add(addresses)
        self._ops.set(added=self.magazines.added)

    def _changed(self) -> None:
        self.count = self.magazines.added
        self._ops.set(added=self.magazines.added)


class MbufChunks:
    """Chunks of a pool in DPDK's memory, added to it and taken out of it while it is in use."""

    def __init__(self, pool: MbufPool, most: int) -> None:
        self._pool = pool
        self._object = native.pool_object_size(pool.address)
        self.bytes = max(HUGE, -(-self._object // HUGE) * HUGE)
        self.per_chunk = (self.bytes - 64) // self._object
        self.count = -(-most // self.per_chunk)
        self._handles: dict[int, int] = {}
        self._starts: dict[int, Any] = {}

    def populate(self, chunk: int) -> Any:
        import numpy as np

        staged = Region(8 * (self.per_chunk + 8), huge=False)
        size = self.per_chunk * self._object + 64
        native.pool_stage(self._pool._ops.address, staged.address)
        try:
            handle = native.pool_populate(self._pool.address, f"bl_chunk_{next(_serial)}", size)
        except OSError as error:
            raise no_memory(self.per_chunk, self._pool.data_room, error) from None
        finally:
            found = native.pool_stage(self._pool._ops.address, 0)
        addresses = np.sort(staged.numpy("i8", found))
        if len(addresses) < self.per_chunk:
            raise BurstlineError("DPDK populated less memory than it was given", "this is a fault of burstline")
        native.pool_init(self._pool.address, addresses)
        self._starts[chunk] = addresses
        if handle:
            self._handles[chunk] = handle
        return addresses[: self.per_chunk]

    def release(self, chunk: int) -> None:
        native.pool_release(self._pool.address, self._handles.pop(chunk))
        del self._starts[chunk]

    def place(self, addresses: Any) -> tuple[Any, Any]:
        import numpy as np

        chunk = np.full(len(addresses), -1)
        within = np.zeros(len(addresses), np.int64)
        for number in self._handles:
            at = self._starts[number]
            here = (addresses >= at[0]) & (addresses <= at[-1])
            chunk[here], within[here] = number, np.searchsorted(at, addresses[here])
        return chunk, within
