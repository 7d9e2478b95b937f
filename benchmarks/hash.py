"""Toeplitz hashes of IPv4 tuples, addresses and ports; ns a tuple, less is better.

2**20 tuples that do not repeat, on one core, beside DPDK (c/hash.c): rte_softrss_be, bit by bit; and rte_thash_gfni and
rte_thash_gfni_bulk, by the CPU's instruction for matrices of bits, where it has that. Ours (`bl.Toeplitz`) is by tables
of half bytes, sixteen tuples at a time. All have the same key and must find the same hashes.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

TUPLES = 1 << 20


def run(options: Options) -> Iterator[Row]:
    import numpy as np

    from benchmarks.harness.hash_loop import ours
    from burstline.state.toeplitz import DEFAULT_KEY

    library = shared_library("hash", options.cache, needs="libdpdk")
    if library is None:
        options.lacks("DPDK's hashes", "apt-get install clang libdpdk-dev pkg-config")
        return
    c = ctypes.CDLL(str(library))
    count, runs = TUPLES // 16 if options.quick else TUPLES, options.runs(9)
    tuples = np.random.default_rng(1).integers(0, 256, (count, 12), "u1")
    words = np.ascontiguousarray(tuples.view(">u4").astype("<u4"))
    key = np.frombuffer(DEFAULT_KEY, ">u4").astype("<u4")  # as rte_convert_rss_key makes it
    matrices = np.zeros(128, "u8")
    c.complete(_at(matrices), DEFAULT_KEY, len(DEFAULT_KEY))
    one, two = np.zeros(count, "u4"), np.zeros(count, "u4")

    def timed(function: Any, *arguments: Any) -> Callable[[], float]:
        def call() -> float:
            start = time.perf_counter_ns()
            function(*arguments)
            return (time.perf_counter_ns() - start) / count

        return call

    size = ctypes.c_uint32(count)
    peers = {"rte_softrss_be": timed(c.soft, _at(words), size, _at(key), _at(two))}
    if c.has_gfni():
        peers["rte_thash_gfni"] = timed(c.gfni, _at(tuples), size, _at(matrices), _at(two))
        peers["rte_thash_gfni_bulk"] = timed(c.gfni_bulk, _at(tuples), size, _at(matrices), _at(two))
    else:
        options.say("hash: this CPU has no GFNI, so DPDK has no rte_thash_gfni")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        mine = ours(DEFAULT_KEY, tuples, one)
        for peer, theirs in peers.items():
            pairs = [(mine(), theirs()) for _ in range(runs + 1)][1:]
            if not np.array_equal(one, two):
                options.fails(peer, BurstlineError("it finds other hashes", "mend one of the two"))
                continue
            a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
            yield Row("hash", "Toeplitz, IPv4 with ports", peer, a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)


def _at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
