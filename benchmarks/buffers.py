"""Buffers: taken and given back, on two cores and on one; ns a buffer, less is better. And pools under changing loads.

A million buffers in bursts of 32 and 256, taken on one core and given back on another, to which they go through slots
in memory; or both on one core. Beside our pool, by the kernels that burstline's own code calls: DPDK's `rte_mempool`
with its default ops (a ring) and with its stack ops, a cache of 256 on each core; and our pool as mempool ops behind
that cache, as drivers use it. "the loop alone" is what handing the buffers over takes. Shared-line transfers are
counted, for 64 buffers: how often the line of the depot comes from another core.

Changing loads (`--burst` runs these alone): a worker holds as many buffers as a load says, tick by tick in real time,
while the pool's controller has it grow and shrink; "failed" are buffers that it asked for in vain after the first ramp
(the first two seconds), beside a pool that has at any time what ours had on average. Forecasts: weighted absolute
percentage error (WAPE), and with a buffer too few weighing 19 times one too many, 50 ms ahead. Memory held: frames of
64 bytes to 9 KB in buffers of the sizes that our pool proposes for them; over time, under the second load, when pools
grow and shrink, but one that knew all frames has no buffer that is not in use.
`--plot DIRECTORY` draws the loads.

Goals: two cores 1.5 times `rte_mempool`, one core 1.0; at most 1 transfer; 0 failed; errors 0.7 times; memory at most
0.35 times that of 9 KB buffers, 1.15 times that of a pool that knew all frames.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.pool_loop import Loop, Side

COUNT = 1 << 20
BURSTS = (32, 256)


def run(options: Options) -> Iterator[Row]:
    if not options.burst:
        yield from _cores(options)
        yield from _memory(options)
    yield from _forecasts(options)
    yield from _loads(options)


def _cores(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    library = shared_library("buffers", options.cache, needs="libdpdk")
    if library is None or not dpdk.available():
        options.lacks("DPDK's rte_mempool", "apt-get install clang libdpdk-dev pkg-config, then make build")
        return
    from benchmarks.harness.pool_loop import BUFFERS, Loop, two_cores
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool

    try:
        eal.start()
    except BurstlineError as error:
        options.fails("rte_mempool", error)
        return
    loop, cores = Loop(ctypes.CDLL(str(library))), two_cores()
    with Pool(BUFFERS) as ring, Pool(BUFFERS, ops="stack") as stack, MbufPool(BUFFERS) as own:
        pools = {
            "rte_mempool, ring": loop.mempool(ring),
            "rte_mempool, stack": loop.mempool(stack),
            "ours as mempool ops": loop.mempool(own),
            "the loop alone": loop.nothing(),
        }
        for burst in BURSTS:
            if cores is not None:
                yield from _pairs(options, loop, pools, burst, cores)
            yield from _pairs(options, loop, pools, burst, None)
    if cores is None:
        options.lacks("a second core", "a machine with two cores")


def _pairs(
    options: Options, loop: Loop, pools: Mapping[str, Side], burst: int, cores: tuple[int, int] | None
) -> Iterator[Row]:
    """One after the other in each round, so that the machine's moods hit all."""
    count, runs = (COUNT // 16, 2) if options.quick else (COUNT, 60)
    ours = loop.ours(same_core=cores is None)
    sides = {"ours": ours, **pools}
    times: dict[str, list[float]] = {name: [] for name in sides}
    usable = os.sched_getaffinity(0)
    try:
        if cores is None:
            os.sched_setaffinity(0, {measuring_core()})
        for _ in range(runs + 1):
            for name, side in sides.items():
                times[name].append(loop.two(side, count, burst, cores) if cores else loop.one(side, count, burst))
    finally:
        os.sched_setaffinity(0, usable)
    medians = {name: statistics.median(found[1:]) for name, found in times.items()}
    case = f"{'two cores' if cores else 'one core'}, bursts of {burst}"
    for name in pools:
        yield Row("buffers", case, name, medians["ours"], medians[name], "ns", runs)
    moved = 64 * ours.transfers() / (count * (runs + 1))
    yield Row("buffers", f"{case}: shared-line transfers", "1 for 64 buffers", moved, 1.0, "lines", 1)


def _memory(options: Options) -> Iterator[Row]:
    from benchmarks.harness.memory_held import JUMBO, MIXES, held, held_over_time

    found = {f"memory held, {name}": held(name) for name in MIXES}
    found["memory held over time"] = held_over_time(JUMBO, quick=options.quick)
    for case, each in found.items():
        for peer, theirs in (("9 KB buffers", each.single), ("clairvoyant", each.clairvoyant)):
            yield Row("buffers", case, peer, each.ours / 1e6, theirs / 1e6, "MB", 1)


def _forecasts(options: Options) -> Iterator[Row]:
    from benchmarks.harness.forecast_errors import errors

    for found in errors(quick=options.quick):
        for peer, wape, weighted in found.peers:
            if not peer.endswith("and margin"):  # which is no forecast of its own
                yield Row("buffers", f"forecast, {found.load}: WAPE", peer, found.wape, wape, "%", 1)
            yield Row("buffers", f"forecast, {found.load}: 19 to 1", peer, found.weighted, weighted, "%", 1)


def _loads(options: Options) -> Iterator[Row]:
    from benchmarks.harness.elastic import run_load, static_failures
    from benchmarks.harness.loads import LOADS

    for name in LOADS:
        done = run_load(name, quick=options.quick)
        static = static_failures(done)
        yield Row("buffers", f"{name}: failed", "static pool", done.failed, static, "buffers", 1)
        yield Row("buffers", f"{name}: memory", "peak", done.mean_memory / 1e6, done.peak_memory / 1e6, "MB", 1)
        yield Row("buffers", f"{name}: controller late", None, 1000 * done.late, None, "ms", 1)
        if options.plot is not None:
            from benchmarks.harness.plots import draw

            options.say(f"buffers: {draw(done, options.plot)}")
