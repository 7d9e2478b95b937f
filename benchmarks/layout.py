"""Records laid out by what the stages touch, beside fields in order of declaration; ns a packet, less is better.

Three stages over a table of a million flows, more than the last cache holds, whose record takes two lines as it is
declared: a million packets of random flows in memory, parsed and run through the stages on one core. Goal: 1.2 times.
Then, where Valgrind is, the lines that come from memory for each packet as cachegrind simulates them, beside what
`burstline layout` says: both should agree.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.simd import level

FLOWS = 1 << 20


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.layout_loop import Sessions  # imports Numba
    from benchmarks.harness.sessions import arena, random_order

    flows, runs = FLOWS // 16 if options.quick else FLOWS, options.runs(9)
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    try:
        packets = arena(flows)
        sides = [Sessions(flows, derived=True), Sessions(flows, derived=False)]
        rounds = []
        for number in range(runs + 2):  # in the first two the flows begin
            order = random_order(flows, flows, number)
            rounds.append([side.nanoseconds(packets, order) for side in sides])
        ours, theirs = (statistics.median(column) for column in zip(*rounds[2:], strict=True))
        yield Row("layout", f"3 stages, {flows:,} flows, derived", "as declared", ours, theirs, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
    yield from simulated_rows(options)


def simulated_rows(options: Options) -> Iterator[Row]:
    from benchmarks.harness import simulated
    from benchmarks.harness.layout_loop import compiled
    from benchmarks.harness.sessions import reported, sessions

    if options.quick or simulated.SIMD not in level.known():
        return
    if not simulated.is_here():
        options.lacks("cachegrind", "apt-get install valgrind")
        return
    level.force(simulated.SIMD)
    try:
        with tempfile.TemporaryDirectory() as folder:
            for derived, how in ((True, "derived"), (False, "as declared")):
                code = Path(folder, how)
                simulated.save(compiled(sessions(simulated.FLOWS, derived=derived)[0]), code)
                counted = simulated.lines_a_packet(code, derived=derived)
                said = reported(simulated.FLOWS, derived=derived)
                yield Row(
                    "layout", f"lines from memory, {how}, by cachegrind", "layout report", counted, said, "lines", 1
                )
    finally:
        level.force(None)
