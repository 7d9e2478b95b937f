"""What vectors gain, on one core; ns a packet, less is better.

The parser's fast path over 2**20 plain packets that do not repeat (TCP and UDP over IPv4 and IPv6 in random order), in
groups of 1, 2, 4, 8 and 16, beside the scalar lowering of the same source (`BURSTLINE_SIMD=scalar`: LLVM is given no
vector, and makes none by itself), with flow keys and their hashes and without; then at each level of vector
instructions that this CPU has. The headers of a burst are in the cache, as a port's driver leaves them, and the time is
the parser's own; the last row of each kind has them come from memory. At the end one predicate over headers, sixteen
packets at a time beside one at a time, over parsed packets.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.simd import level

PACKETS = 1 << 20
LANES = (1, 2, 4, 8, 16)


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.packets import PLAIN, make
    from benchmarks.harness.parse_loop import Columns, ours
    from benchmarks.harness.predicate_loop import predicate_runs
    from burstline.state.region import Region

    kept: list[Region] = []

    def memory(size: int) -> Any:
        kept.append(Region(size))  # on huge pages, where there are any
        return kept[-1].numpy("u1", size)

    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    asked = os.environ.pop(level.VARIABLE, None)
    try:
        packets, runs = PACKETS // 16 if options.quick else PACKETS, options.runs(9)
        options.say(f"simd: making {packets:,} packets")
        arena, columns = make(PLAIN, packets, 1, memory), Columns()

        def made(at: str, lanes: int | None, keys: bool, cached: bool) -> Any:
            level.force(at)
            try:
                return ours(columns, inner=False, fast=True, keys=keys, lanes=lanes, cached=cached)
            finally:
                level.force(None)

        for keys, what in ((False, "headers"), (True, "headers, flow key and hash")):
            scalars = {cached: made("scalar", 1, keys, cached) for cached in (True, False)}
            widest = level.known()[-1]
            cases = [(f"{n} lane{'s' if n > 1 else ''}", widest, n, True) for n in LANES]
            cases += [(at, at, None, True) for at in level.known()[1:]] + [("from memory", widest, None, False)]
            for case, at, lanes, cached in cases[-2:] if options.quick else cases:
                vectors, scalar = made(at, lanes, keys, cached), scalars[cached]
                pairs = [(vectors(arena, 0, packets), scalar(arena, 0, packets)) for _ in range(runs + 1)][1:]
                a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
                yield Row("simd", f"{what}: {case}", "scalar lowering", a, b, "ns/packet", runs)
        group, single, matched = predicate_runs(arena, packets)
        pairs = [(group(), single()) for _ in range(runs + 1)][1:]
        a, b = (statistics.median(column) for column in zip(*pairs, strict=True))
        case = f"a predicate over four fields ({100 * matched / packets:.0f} % match), parsed packets"
        yield Row("simd", case, "one packet at a time", a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
        if asked is not None:
            os.environ[level.VARIABLE] = asked
