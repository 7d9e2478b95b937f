"""The heaviest flows of a million, found while packets flow (`bl.HeavyHitters`), beside DPDK's NitroSketch (rte_member
with RTE_MEMBER_TYPE_SKETCH, c/sketch.c), on one core.

2**23 packets that do not repeat in order, drawn by Zipf's law with exponents 1.0 to 1.3, in bursts of 64, ten million a
second on the clock that packets bear. Recall and precision of the true top 100 by exact counts, in percent; who has as
many packets as the hundredth is right. Ours is asked at the end of each window of 10 ms for the flows of that window.
NitroSketch, which does not age, is asked once for all packets where it samples: 1 row in 1,000,
and 1 in 80, which fits into 256 kB; and where it counts all packets, at the end of each window, and is emptied then.

Cycles a packet by the time-stamp counter, from an empty sketch on, less is better. Ours once with the flows' hashes
given, as the parser gives them, once with hashing each key of 40 bytes. NitroSketch hashes keys of 40 bytes itself: of
few packets where it samples, of all where it counts all.

Elephants that begin of a sudden, each with 0.1 % to 1 % of the packets in trains of 32: the time from the first packet
until a reader that looks each millisecond knows the key, of the slowest one that is among the true top 100 of the 10 ms
since then.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.harness.install import shared_library
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row

if TYPE_CHECKING:
    from benchmarks.harness.elephant_loop import TheirSketch
    from benchmarks.harness.elephant_traffic import Traffic

EXPONENTS = (1.0, 1.1, 1.2, 1.3)
PACKETS, FLOWS, WINDOW, MILLISECOND = 1 << 23, 1_000_000, 100_000, 10_000  # packets
TOP, BEGUN, ONSETS = 100, 40, 8


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.elephant_loop import SETTINGS, Theirs
    from benchmarks.harness.elephant_traffic import zipf

    packets = PACKETS >> 4 if options.quick else PACKETS
    library, core = shared_library("sketch", options.cache, needs="libdpdk"), measuring_core()
    if library is None:
        options.lacks("rte_member", "apt-get install clang libdpdk-dev pkg-config")
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        theirs = Theirs(library, core) if library else None
        for exponent in EXPONENTS:
            traffic = zipf(packets, FLOWS, exponent, seed=1)
            sketches = [theirs.sketch(setting, traffic) for setting in SETTINGS] if theirs else []
            yield from _found(f"Zipf {exponent}", traffic, sketches)
            yield from _cycles(f"Zipf {exponent}", traffic, sketches, options.runs(7))
            for sketch in sketches:
                sketch.destroy()
            yield from _onset(exponent, 2 if options.quick else ONSETS)
    finally:
        os.sched_setaffinity(0, usable)


def _found(case: str, traffic: Traffic, sketches: list[TheirSketch]) -> Iterator[Row]:
    from benchmarks.harness.elephant_loop import Ours

    ours, scores = Ours(traffic), []
    for first in range(0, len(traffic) - WINDOW + 1, WINDOW):
        ours.add(WINDOW)
        scores.append(_score(traffic, first, WINDOW, ours.top()))
    mine = _means(scores)
    worst = min(min(score) for score in scores)
    for sketch in sketches:
        step, others = WINDOW if sketch.setting.by_window else len(traffic), []
        for first in range(0, len(traffic) - step + 1, step):
            sketch.reset()
            sketch.add(step)
            others.append(_score(traffic, first, step, sketch.top()))
        for name, one, two in zip(("recall", "precision"), mine, _means(others), strict=True):
            yield Row("elephants", f"{case}, {name}", sketch.setting.name, one, two, "of 100", len(scores))
    yield Row("elephants", f"{case}, worst window", None, worst, None, "of 100", len(scores))
    megabytes = [sketch.bytes / 1e6 for sketch in sketches]
    for sketch, size in zip(sketches, megabytes, strict=True):
        yield Row("elephants", f"{case}, memory", sketch.setting.name, ours.elephants.size / 1e6, size, "MB", 1)


def _score(traffic: Traffic, first: int, count: int, found: list[int]) -> tuple[float, float]:
    """Recall and precision, in percent."""
    counts, last = traffic.last_of(first, count, TOP)
    right = sum(0 <= flow < len(counts) and counts[flow] >= last for flow in set(found))
    return 100 * min(right, TOP) / TOP, 100 * right / len(found) if found else 0.0


def _means(scores: list[tuple[float, float]]) -> list[float]:
    return [statistics.fmean(column) for column in zip(*scores, strict=True)]


def _cycles(case: str, traffic: Traffic, sketches: list[TheirSketch], runs: int) -> Iterator[Row]:
    from benchmarks.harness.elephant_loop import Ours

    ours = Ours(traffic)
    sides: dict[str, Callable[[], float]] = {"given": lambda: ours.cycles(False), "hashing": lambda: ours.cycles(True)}
    for sketch in sketches:
        sides[sketch.setting.name] = lambda sketch=sketch: sketch.all(WINDOW)  # type: ignore[misc]
    rounds = [{side: time() for side, time in sides.items()} for _ in range(runs + 1)][1:]
    found = {side: statistics.median(times[side] for times in rounds) for side in sides}
    for label, side in (("hashes given", "given"), ("hashing keys", "hashing")):
        for peer in list(sides)[2:] or [None]:
            other = found[peer] if peer else None
            yield Row("elephants", f"{case}, {label}", peer, found[side], other, "cycles/packet", runs)


def _onset(exponent: float, repeats: int) -> Iterator[Row]:
    import numpy as np

    from benchmarks.harness.elephant_loop import Ours
    from benchmarks.harness.elephant_traffic import onset

    waits, scores = list[float](), list[tuple[float, float]]()
    for seed in range(repeats):
        began = 3 * WINDOW + seed * WINDOW // repeats
        traffic, begun = onset(6 * WINDOW, FLOWS, exponent, BEGUN, began, seed)
        ours, known = Ours(traffic), dict[int, int]()
        for first in range(0, len(traffic), MILLISECOND):
            ours.add(MILLISECOND)
            for flow in ours.new():
                known.setdefault(flow, first + MILLISECOND)
            if first % WINDOW == WINDOW - MILLISECOND and first > began:
                scores.append(_score(traffic, first + MILLISECOND - WINDOW, WINDOW, ours.top()))
        for flow in begun.tolist():
            place: Any = np.flatnonzero(traffic.flows == flow)
            if len(place) and place[0] + WINDOW <= len(traffic):
                counts, last = traffic.last_of(int(place[0]), WINDOW, TOP)
                if counts[flow] >= last:
                    waits.append((known.get(flow, len(traffic)) - int(place[0])) / MILLISECOND)
    yield Row("elephants", f"onset, Zipf {exponent}, slowest of {len(waits)}", None, max(waits), None, "ms", repeats)
    yield Row("elephants", f"onset, Zipf {exponent}, median", None, statistics.median(waits), None, "ms", repeats)
    for name, value in zip(("recall", "precision"), _means(scores), strict=True):
        yield Row("elephants", f"onset, Zipf {exponent}, {name}", None, value, None, "of 100", len(scores))
