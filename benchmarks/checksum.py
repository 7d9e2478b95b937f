"""Checksums of received packets verified, IPv4's and TCP's; ns a packet, less is better.

Bursts of 32 packets of one size that do not repeat, each with its headers looked at and its mbuf's flags set; the same
loop in C calls ours (the kernel that live ports run) and DPDK's: `rte_ipv4_cksum` and `rte_ipv4_udptcp_cksum_verify`,
compiled by gcc, which makes vectors of their loops, and by clang, which does not. Given is the median burst, as others
run on the machine too. A driver's ring of 1,024 mbufs holds the packets: they are copied into it before each burst, as
a NIC writes them, outside of what is measured. "from memory": the mbufs point to packets that no cache has, and from
a kilobyte up the memory's bandwidth is the limit of all. "the loop alone" is what time stamps and the calls take.

Goal: 1.5 times DPDK's, of the faster compiler, at every size from 64 to 9,000 bytes.
"""

from __future__ import annotations

import ctypes
import os
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.harness.install import program, shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

SIZES = (64, 128, 256, 512, 1024, 1500, 4096, 9000)
MOST_BYTES = 1 << 30  # of all packets of one size
PACKETS, BURST, RING = 1 << 20, 32, 1024
ROOM = 128 + 128 + 9216  # an mbuf, its headroom, a jumbo frame


def run(options: Options) -> Iterator[Row]:
    from burstline.offload.checksums.checksums import Checksums, verify
    from burstline.state.region import Block

    made = {name: _library(name, options) for name in ("gcc", "clang") if program(name)}
    libraries = {name: library for name, library in made.items() if library is not None}
    if not libraries:
        options.lacks("DPDK's checksums", "apt-get install gcc clang libdpdk-dev pkg-config")
        return
    loop = next(iter(libraries.values()))
    state = Block(Checksums.layout)
    sides = {"ours": ctypes.c_void_p(verify.address)}
    sides |= {f"DPDK by {name}": library.dpdk_verify for name, library in libraries.items()}
    sides["the loop alone"] = loop.nothing
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        for size in SIZES:
            yield from _size(options, loop, sides, state, size)
    finally:
        os.sched_setaffinity(0, usable)


def _library(compiler: str, options: Options) -> Any:
    path = shared_library("checksum", options.cache, needs="libdpdk", compiler=compiler)
    if path is None:
        return None
    library = ctypes.CDLL(str(path))
    library.drive.restype = ctypes.c_double
    return library


def _size(options: Options, loop: Any, sides: dict[str, Any], state: Any, size: int) -> Iterator[Row]:
    """One after the other in each round, so that the machine's moods hit all."""
    from burstline.state.region import Region

    stride = -(-size // 64) * 64
    count = min(PACKETS, MOST_BYTES // stride) // (64 if options.quick else 1)
    packets, ring, times = Region(count * stride), Region(RING * ROOM), Region(8 * (count // BURST))
    numbers = ctypes.c_int64
    loop.make_packets(numbers(packets.address), numbers(stride), numbers(count), numbers(size))
    runs = options.runs(9)
    for copies in (1, 0):
        found: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(runs + 1):
            for name, function in sides.items():
                ns = loop.drive(
                    function, numbers(state.address), numbers(packets.address), numbers(stride), numbers(count),
                    numbers(size), numbers(ring.address), numbers(ROOM), numbers(copies),
                    ctypes.c_void_p(times.address),
                )  # fmt: skip
                if ns < 0:
                    raise BurstlineError(f"{name} finds right packets wrong", "this is a fault of it")
                found[name].append(ns / BURST)
        medians = {name: statistics.median(each[1:]) for name, each in found.items()}
        case = f"{size:,} bytes, {count:,} packets{'' if copies else ', from memory'}"
        for name in sides:
            if name != "ours":
                yield Row("checksum", case, name, medians["ours"], medians[name], "ns/packet", runs)
