"""GRO of interleaved TCP flows beside DPDK's rte_gro; ns a packet, less is better.

Segments of 1,448 bytes over IPv4, with timestamps, as a port gives them with good checksums; 1 to 4,096 flows take
turns, each time in another order, and in each run with other addresses and ports: more than a million packets that do
not repeat. One loop (c/gro.c) drives all. With 1 and 64 flows packets are merged burst by burst, 128 in each, beside
`rte_gro_reassemble_burst`, which takes no more. With more flows they are held over many bursts, beside
`rte_gro_reassemble` and `rte_gro_timeout_flush`, whose time counts, too. What each needs in an mbuf is written before;
16,384 packets at once, which the L2 cache does not hold, or, "in cache", only those of the next burst.

Goals: 1.0 times rte_gro with 1 flow, 3 with 64, 20 with 1,024, 50 with 4,096; with 4,096 flows at most twice the time
of 1 flow.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.gro_loop import Loop, Traffic

PACKETS = 1 << 18  # of a run
BURST = 128
IN_CACHE = "in cache"


def run(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    library = shared_library("gro", options.cache, needs="libdpdk")
    if library is None or not dpdk.available():
        options.lacks("DPDK's rte_gro", "apt-get install clang libdpdk-dev pkg-config, then make build")
        return
    from benchmarks.harness.gro_loop import BUFFERS, Loop, Traffic
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool

    try:
        eal.start()
    except BurstlineError as error:
        options.fails("rte_gro", error)
        return
    packets = PACKETS // 8 if options.quick else PACKETS
    usable = os.sched_getaffinity(0)
    with Pool(BUFFERS + 1023) as pool:
        loop = Loop(ctypes.CDLL(str(library)), pool)
        os.sched_setaffinity(0, {measuring_core()})
        try:
            for flows in (1, 64):
                for lap, case in ((BUFFERS, ""), (BURST, f", {IN_CACHE}")):
                    yield _burst(options, loop, Traffic(flows, BURST, lap, packets // lap), case)
            for flows in (1024, 4096):
                yield _held(options, loop, Traffic(flows, BURST, BUFFERS, packets // BUFFERS))
            yield _flat(options, loop, packets // BUFFERS)
        finally:
            os.sched_setaffinity(0, usable)
            loop.close()


def _burst(options: Options, loop: Loop, traffic: Traffic, case: str) -> Row:
    ours, theirs = loop.ours(hold=False), loop.burst_api(traffic.flows, BURST // traffic.flows)
    pairs = [(loop.time(ours, traffic, k), loop.time(theirs, traffic, k)) for k in range(options.runs(5) + 1)]
    theirs.close()
    return _row(f"{_flows(traffic.flows)}, by bursts{case}", "rte_gro_reassemble_burst", pairs)


def _held(options: Options, loop: Loop, traffic: Traffic) -> Row:
    ours, theirs = loop.ours(hold=True), loop.context_api(traffic.flows)
    pairs = [(loop.time(ours, traffic, k), loop.time(theirs, traffic, k)) for k in range(options.runs(5) + 1)]
    theirs.close()
    return _row(f"{_flows(traffic.flows)}, held", "rte_gro_reassemble", pairs)


def _flat(options: Options, loop: Loop, laps: int) -> Row:
    from benchmarks.harness.gro_loop import BUFFERS, Traffic

    ours = loop.ours(hold=True)
    many, one = (Traffic(flows, BURST, BUFFERS, laps) for flows in (4096, 1))
    pairs = [(loop.time(ours, many, k)[0], loop.time(ours, one, k)[0]) for k in range(options.runs(5) + 1)][1:]
    a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Row("gro", "4,096 flows, held", "ours with 1 flow", a, b, "ns/packet", len(pairs))


def _row(case: str, peer: str, pairs: list[tuple[tuple[float, int], tuple[float, int]]]) -> Row:
    """The first pair warms up. What comes out must be as many packets on both sides, but for those few that one of
    them could not hold."""
    for (_, ours), (_, theirs) in pairs:
        if abs(ours - theirs) * 100 > max(ours, theirs):
            raise BurstlineError(f"{case}: {ours} packets came out of ours, {theirs} of {peer}", "they do other work")
    a, b = (statistics.median(side[0] for side in column) for column in zip(*pairs[1:], strict=True))
    return Row("gro", case, peer, a, b, "ns/packet", len(pairs) - 1)


def _flows(count: int) -> str:
    return "1 flow" if count == 1 else f"{count:,} flows"
