"""GRO in one loop of C: ours by its kernels, and DPDK's `rte_gro` by both of its interfaces."""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.dpdk.pool import Pool
from burstline.errors import BurstlineError
from burstline.offload.gro.gro import Merging, flush_kernel, gro_kernel

BUFFERS = 16384
LATER = 1 << 60  # ns: what is held waits for the end of a lap


@dataclass(frozen=True)
class Side:
    """What the C loop calls: a function that merges, one that lets all go where some is held, and what they work on."""

    merge: Any
    flush: Any
    state: int
    owner: object = None  # of the state, which lives as long
    close: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Traffic:
    """`flows` that take turns, in bursts. Each lap's packets are written before it is timed."""

    flows: int
    burst: int
    lap: int
    laps: int


class Loop:
    """c/gro.c, as a library that is loaded, with buffers of a pool."""

    def __init__(self, library: Any, pool: Pool) -> None:
        self._c = library
        for name in ("run", "take_buffers", "parameters", "make_context"):
            getattr(library, name).restype = ctypes.c_int64
        if not library.take_buffers(ctypes.c_int64(pool.address), ctypes.c_int64(BUFFERS)):
            raise BurstlineError(f"the pool has no {BUFFERS:,} buffers", "make it larger")

    def close(self) -> None:
        self._c.give_buffers()

    def time(self, side: Side, traffic: Traffic, seed: int) -> tuple[float, int]:
        """ns a packet, the median of all laps; and how many packets came out of one."""
        times = np.zeros(traffic.laps)
        self._c.begin(ctypes.c_int64(traffic.flows), ctypes.c_uint64(seed))
        numbers = (ctypes.c_int64(n) for n in (side.state, traffic.lap, traffic.laps, traffic.burst))
        left = self._c.run(side.merge, side.flush, *numbers, ctypes.c_void_p(times.ctypes.data))
        if left < 0:
            raise BurstlineError("not all packets came out again", "this is a fault of what merges them")
        return statistics.median(times.tolist()), left

    def ours(self, hold: bool) -> Side:
        """Ours for each burst; or holding packets to the end of the lap."""
        merging = Merging(timeout=LATER if hold else 0)
        flush = ctypes.c_void_p(flush_kernel.address) if hold else None
        return Side(ctypes.c_void_p(gro_kernel.address), flush, merging.address, merging)

    def burst_api(self, flows: int, items: int) -> Side:
        """rte_gro_reassemble_burst."""
        state = self._c.parameters(ctypes.c_int64(flows), ctypes.c_int64(items))
        return Side(self._c.burst_api, None, state, close=lambda: self._c.free_parameters(ctypes.c_int64(state)))

    def context_api(self, flows: int) -> Side:
        """rte_gro_reassemble and rte_gro_timeout_flush."""
        state = self._c.make_context(ctypes.c_int64(flows), ctypes.c_int64(1))
        close = lambda: self._c.free_context(ctypes.c_int64(state))  # noqa: E731
        return Side(self._c.context_api, self._c.context_flush, state, close=close)
