"""What a hop from one stage to the next costs; ns a packet, less is better.

Chains of 1, 4, 16 and 64 stages that each add to a counter what depends on the packet, over a million lengths that do
not repeat, on one core: tail-called and called beside fused, and what a hop costs over a fused one, with the counter
of its stage: fused, a burst's sums are registers, else memory. Goals: a tail-called hop at most 0.5 ns, a called one at
least twice that. Then 1,000 stages beside 100: the time to compile
and to run, a stage, and the largest stack frame that any packet goes through. Last, a stage that hands packets to one
of 2, 4 or 8 chains of four stages: in buckets beside jumps, where nothing predicts the way, and where it is always the
same.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row

COUNTS = (1, 4, 16, 64)
MANY, FEW = 1000, 100


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.stage_loop import Built, branching_stages, build, compiled  # imports Numba

    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {measuring_core()})
    runs = options.runs(9)

    def medians(*chains: Built) -> list[float]:
        """In turn, so that the machine's moods hit all; a first round is dropped."""
        rounds = [[chain.nanoseconds() for chain in chains] for _ in range(runs + 1)][1:]
        return [statistics.median(column) for column in zip(*rounds, strict=True)]

    try:
        for count in COUNTS[1:3] if options.quick else COUNTS:
            fused, tail, called = medians(build(count, "fused"), build(count, "tail"), build(count, "called"))
            yield Row("stages", f"{count} stages, tail-called", "fused", tail, fused, "ns/packet", runs)
            yield Row("stages", f"{count} stages, called", "tail-called", called, tail, "ns/packet", runs)
            if count > 1:
                hop, call = (tail - fused) / (count - 1), (called - fused) / (count - 1)
                yield Row("stages", f"{count} stages, a tail-called hop over a fused one", None, hop, None, "ns", runs)
                yield Row("stages", f"{count} stages, a called hop over a fused one", None, call, None, "ns", runs)
        if not options.quick:
            for dispatch in ("tail", "auto"):
                few, many = build(FEW, dispatch), build(MANY, dispatch)  # type: ignore[arg-type]
                a, b = medians(many, few)
                case = f"{MANY} stages ({many.dispatch}), a stage"
                yield Row("stages", case, f"{FEW} stages", a / MANY, b / FEW, "ns/packet", runs)
                case = f"{MANY} stages ({many.dispatch}), to compile, a stage"
                yield Row("stages", case, f"{FEW} stages", 1e3 * many.seconds / MANY, 1e3 * few.seconds / FEW, "ms", 1)
                case = f"{MANY} stages ({many.dispatch}), the largest stack frame of a hop"
                yield Row("stages", case, None, max(many.stack, few.stack), None, "bytes", 1)
        for ways in (4,) if options.quick else (2, 4, 8):
            for predictable, how in ((False, "unpredictable"), (True, "predictable")):
                pipelines = [branching_stages(ways, 4, predictable) for _ in range(2)]
                a, b = medians(compiled(pipelines[0], "bucketed"), compiled(pipelines[1], "fused"))
                yield Row("stages", f"{ways} chains, {how}, bucketed", "jumps", a, b, "ns/packet", runs)
    finally:
        os.sched_setaffinity(0, usable)
