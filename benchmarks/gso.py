"""TCP packets of 64 KB cut into segments of 1,448 bytes; ns a segment, less is better.

A million segments of flows that do not repeat, on one core, beside DPDK's rte_gso; one loop in C (c/gso.c) calls both,
and only cutting is timed. Payload is shared: a header and indirect mbufs, of a packet that lies in one mbuf. Restored:
one that lies in 45 as it was received, of which ours makes the segments. With checksums in software: rte_gso with
rte_ipv4_udptcp_cksum_mbuf and rte_ipv4_cksum for each segment. Copied, for ports that take one mbuf a frame: rte_gso
with rte_pktmbuf_linearize. "checksums by the port": rte_gso leaves those of the large packet in its segments, ours are
what drivers want.
The C is by gcc, which makes more of DPDK's checksums than clang does.

Goal: payload that is shared or restored 1.2 times as good as rte_gso.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

SEGMENTS = 1 << 20


def run(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    library = shared_library("gso", options.cache, needs="libdpdk", compiler="gcc")
    if library is None or not dpdk.available():
        options.lacks("DPDK's rte_gso", "apt-get install gcc libdpdk-dev pkg-config, then make build")
        return
    from benchmarks.harness.gso_loop import Loop
    from burstline.dpdk import eal

    try:
        eal.start()
    except BurstlineError as error:
        options.fails("rte_gso", error)
        return
    total, runs = SEGMENTS // 16 if options.quick else SEGMENTS, options.runs(9)
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        with Loop(library) as loop:
            for case, peer, ours, theirs in loop.comparisons():
                a, b = alternate(lambda: ours(total), lambda: theirs(total), runs)  # noqa: B023  # called at once
                yield Row("gso", case, peer, a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
