"""Routing 64-byte packets on one core by 8, 64 k and 1 M prefixes of IPv4 and of IPv6; ns a packet, less is better.

Our router (apps/router.py: the stage of examples/router.py, with sixteen next hops) beside the same loop in C
(c/route.c) on DPDK's tables: rte_fib and rte_fib6 with lookups at 512 bits, rte_lpm and rte_lpm6, all in bulk. Both
receive bursts of 64 from a net_ring that holds 2**20 packets to random addresses in random routes, check and count down
the hop limit, mend the checksum of IPv4, look the next hop up, write both MAC addresses, and send the packet back to
the ring. Prefix lengths are those of the BGP table (harness/routes.py). Both must send each packet to the same next
hop.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.harness import engine
from benchmarks.harness.install import linked_program
from benchmarks.harness.process import measuring_core, output
from burstline.cli.bench import Options, Row
from burstline.dpdk.hugepages import usable
from burstline.errors import BurstlineError

PACKETS = 1 << 20
COUNTS = {"8": 8, "64 k": 1 << 16, "1 M": 1 << 20}
MOST_MEMORY = 800  # MiB of huge pages: packets, and rte_fib6 by 64 k prefixes
PEERS = {4: {"rte_fib": "fib", "rte_lpm": "lpm"}, 6: {"rte_fib6": "fib6", "rte_lpm6": "lpm6"}}
HUGE = ["--in-memory"]
# Tables for a million routes do not fit into the huge pages that are kept: the C makes its own of this memory.
LARGE = ["--no-huge", "--no-shconf", "-m", "5120"]


def run(options: Options) -> Iterator[Row]:
    program = linked_program("route", options.cache, "libdpdk", "rte_net_ring")
    if program is None:
        options.lacks("DPDK's rte_fib and rte_lpm", "apt-get install clang libdpdk-dev pkg-config")
        return
    if not usable(MOST_MEMORY):
        options.lacks("1 GiB of free huge pages", "sysctl -w vm.nr_hugepages=512")
        return
    with tempfile.TemporaryDirectory(prefix="burstline-bench-") as directory:
        for version in (4, 6):
            for name, count in COUNTS.items():
                if not options.quick or count <= 1 << 16:
                    try:
                        yield from compare(options, Path(directory), program, version, name)
                    except BurstlineError as error:
                        options.fails(f"IPv{version}, {name} prefixes", error)


def compare(options: Options, directory: Path, program: Path, version: int, name: str) -> Iterator[Row]:
    from benchmarks.harness.routes import RouteList, write_packets

    count, large = COUNTS[name], COUNTS[name] == COUNTS["1 M"]
    routes, packets, config = directory / "routes.txt", directory / "packets.pcap", directory / "burstline.toml"
    listed = RouteList(version, count)
    listed.write(routes)
    write_packets(packets, listed.addresses(PACKETS // 8 if options.quick else PACKETS))
    config.write_text("[pools]\nbuffer_size = 256\n")
    env = {"BURSTLINE_BENCH_ROUTES": str(routes)}
    output(engine.routed(packets, directory / "out.pcap"), env=env)
    hops = _hops(directory / "out.pcap")
    seconds, runs = (0.05, 2) if options.quick else (3.0, 3 if large else 5)
    words = engine.route(packets, seconds=seconds, config=config)
    memory = LARGE if large else HUGE
    sides = {"ours": lambda: 1e9 / engine.forwarding_rate(words, env)}
    case = f"IPv{version}, {name} prefixes"
    for peer, table in PEERS[version].items():
        if table == "lpm" and large:
            options.say(f"route: {case}: rte_lpm looks through all rules for each one that is added: left out")
        else:
            sides[peer] = partial(_their_time, program, table, directory, seconds, memory, hops)
    rounds = [{side: time() for side, time in sides.items()} for _ in range(runs + 1)][1:]
    found = {side: statistics.median(times[side] for times in rounds) for side in sides}
    for peer in list(sides)[1:]:
        yield Row("route", case, peer, found["ours"], found[peer], "ns/packet", runs)


def _their_time(program: Path, table: str, directory: Path, seconds: float, memory: list[str], hops: bytes) -> float:
    """ns a packet. Raises BurstlineError where the next hops are not `hops`."""
    files: list[Any] = [directory / "routes.txt", directory / "packets.pcap", seconds, directory / "hops"]
    eal = ["-l", measuring_core(), "--no-pci", *memory, "--no-telemetry", "--force-max-simd-bitwidth=512"]
    rate = float(output([program, table, *files, *eal]).split()[-1])
    if (directory / "hops").read_bytes() != hops:
        raise BurstlineError(f"{table} finds other next hops than we do", "mend one of the two")
    return 1e9 / rate


def _hops(path: Path) -> bytes:
    """Of each packet that our router wrote: the fifth byte of the MAC address that it goes to."""
    import numpy as np

    return np.fromfile(path, "u1", offset=24).reshape(-1, 80)[:, 16 + 4].tobytes()
