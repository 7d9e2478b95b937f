"""Finding a packet's headers, its flow key and the key's hash; ns a packet, less is better.

Over 2**20 packets in memory that do not repeat, in bursts of 256, on one core, beside C of the same work (c/parse.c):
the same packets, into the same columns, which are compared. Plain packets are TCP and UDP over IPv4 and IPv6 in random
order: by the fast path, and by the states of the parser alone. The mix is half of plain ones; the rest has VLAN tags,
MPLS, PPPoE, SNAP, ARP, options, fragments, extension headers, AH, ESP, SCTP, ICMP, and a fifth tunnels: GRE, IP in IP,
VXLAN, Geneve, GTP-U. It is parsed to its outermost headers, and once more with what is in the tunnels.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

PACKETS = 1 << 20
CASES = (  # case, packets, tunnels looked into, with the fast path
    ("plain packets", "plain", False, True),
    ("plain packets, states alone", "plain", False, False),
    ("mix", "mix", False, True),
    ("mix, with inner packets", "mix", True, True),
    ("mix, with inner packets, states alone", "mix", True, False),
)


def run(options: Options) -> Iterator[Row]:
    library = shared_library("parse", options.cache)
    if library is None:
        options.lacks("C parser", "apt-get install clang")
        return
    from benchmarks.harness.packets import MIX, PLAIN, make
    from benchmarks.harness.parse_loop import BURST, Columns, differing, ours, theirs
    from burstline.state.region import Region

    kept: list[Region] = []

    def memory(size: int) -> Any:
        kept.append(Region(size))  # on huge pages, where there are any
        return kept[-1].numpy("u1", size)

    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        packets = PACKETS // 16 if options.quick else PACKETS
        options.say(f"parse: making 2 x {packets:,} packets")
        arenas = {name: make(kinds, packets, 1, memory) for name, kinds in (("plain", PLAIN), ("mix", MIX))}
        columns, runs = Columns(), options.runs(9)
        for case, name, inner, fast in CASES:
            arena = arenas[name]
            one, other = ours(columns, inner=inner, fast=fast), theirs(library, columns, inner=inner)
            wrong = differing(columns, one, other, arena, packets // BURST // 4, inner=inner)
            if wrong:
                options.fails(
                    case, BurstlineError(f"C finds something else: {', '.join(wrong)}", "mend one of the two")
                )
                continue
            pairs = [(one(arena, 0, packets), other(arena, 0, packets)) for _ in range(runs + 1)][1:]
            a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
            yield Row("parse", case, "C", a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
