"""Eight counters bumped for each packet; ns a packet, less is better.

2**20 lengths that do not repeat, in bursts of 256, on one core: a stage with eight `bl.Counter`, in the engine's own
loop around the stages, beside C (c/counters.c) that stores each counter for each packet (atomic and relaxed, as another
thread reads it; and plain, where each packet is written to), that sums over a burst by hand, and that has counters
which all threads share. The last also with two threads, on a core each. All must count the same.
Goals: 1.3 times against stores, 20 times against shared counters.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import cores, measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

PACKETS, COUNTERS = 1 << 20, 8


def run(options: Options) -> Iterator[Row]:
    import numpy as np

    from benchmarks.harness.counter_loop import BURST, Counting  # imports Numba

    library = shared_library("counters", options.cache)
    if library is None:
        options.lacks("a C compiler", "apt-get install clang")
        return
    c = ctypes.CDLL(str(library))
    count, runs = PACKETS // 16 if options.quick else PACKETS, options.runs(15)
    lengths = np.random.default_rng(1).integers(60, 1515, count, dtype="u4")
    block, packets = np.zeros(COUNTERS + 8, "u8"), np.zeros(64 * BURST, "u1")
    block = block[-(block.ctypes.data // 8) % 8 :][:COUNTERS]  # a whole cache line
    ours = Counting(lengths, 2)
    ours.run()
    wanted = ours.values()

    def timed(function: Any, *more: Any) -> Callable[[], float]:
        def call() -> float:
            start = time.perf_counter_ns()
            function(_at(lengths), ctypes.c_uint32(count), _at(block), *more)
            return (time.perf_counter_ns() - start) / count

        return call

    usable = os.sched_getaffinity(0)
    peers = {
        "C, a store per packet": timed(c.stores),
        "C, a store per packet, packets written": timed(c.aliased, _at(packets)),
        "C, summed by hand": timed(c.summed),
        "C, shared atomics": timed(c.shared),
    }
    try:
        os.sched_setaffinity(0, {measuring_core()})
        for peer, theirs in peers.items():
            block[:] = 0
            pairs = [(ours.run(), theirs()) for _ in range(runs + 1)]
            if [int(n) for n in block] != [n * (runs + 1) for n in wanted]:
                options.fails(peer, BurstlineError("it counts otherwise", "mend one of the two"))
                continue
            yield _row("8 counters", peer, pairs)
        if len(usable) > 1:
            pinned = cores()[:2] if len(cores()) > 1 else sorted(usable)[:2]
            both = [(_together(pinned, [lambda: ours.run(0), lambda: ours.run(1)]),
                     _together(pinned, [peers["C, shared atomics"]] * 2)) for _ in range(runs + 1)]  # fmt: skip
            yield _row("8 counters, two threads", "C, shared atomics", both)
    finally:
        os.sched_setaffinity(0, usable)


def _row(case: str, peer: str, pairs: list[tuple[float, float]]) -> Row:
    a, b = (statistics.median(column) for column in zip(*pairs[1:], strict=True))
    return Row("counters", case, peer, a, b, "ns/packet", len(pairs) - 1)


def _together(on: list[int], work: list[Callable[[], float]]) -> float:
    """The slower of two threads, on a core each."""
    found, start = [0.0] * len(work), threading.Barrier(len(work))

    def body(k: int) -> None:
        os.sched_setaffinity(threading.get_native_id(), {on[k]})
        start.wait()
        found[k] = work[k]()

    threads = [threading.Thread(target=body, args=(k,)) for k in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(found)


def _at(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
