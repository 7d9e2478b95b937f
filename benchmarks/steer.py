"""Steering, live and simulated: how long mice wait beside an elephant, and core loads; less is better.

*Live*: two workers on two cores, a NIC in software with two queues of 1,024 packets, an elephant and 10,000 mice: one
packet each in random order, 40 % of all, again and again. All packets cost the same work (entropy of their payloads):
the elephant takes 0.82 of a core and the mice 0.54, so under plain RSS, with half of the mice beside it, its core has
1.09. "ours" is the controller at work, which takes its time from the workers, since two cores have no third; "plain
RSS" is without it (a dry run would slow mice down, deciding the same at each look). What is measured is microseconds
from when a packet was due on the wire, by its rate, until a worker takes it from its queue, after two seconds and a
half in which the controller settles. What is not: the wait within a burst of 32, the work itself, and what moves cost
before. Packets that found their queue full did not wait; they are in a row of their own. Nobody but the workers plays
the NIC. With 45 us a packet a full queue is 46 ms, far from what the system's scheduler does to a thread (ms); with 15
us it is not so far, and the ratio says more of that. The process has the highest priority that it gets.

*Simulated*: the load of the fullest core by the mean load ("max/mean"), on 8 cores. Traces of a second, 100 looks of 10
ms, of each kind eight: steady ones by Zipf's law, with and without noise, of which the fullest core of the second half
is told too ("settled, worst") where a placement within 1.05 exists; elephants that come and go, or that are all hashed
to one core; bursts; skew that shifts; and what is made to fool a controller: flows that die when they have just been
placed, flows that are all alike, one larger than a core, mice alone, crowded places that become empty ones. Beside
plain RSS and a greedy policy over buckets as RSS++ has it, ours places flows and buckets. "Beyond plain RSS" is what
ours cost more at the worst trace, in cores times looks of the fullest core's load, with overload and the work of moves,
and in percent of all; beside it is what its ledger allows: the stake, and the looks until plain RSS is in force again.
`--plot DIRECTORY` draws core loads over time.

Goals: p99 of mice at least 10 times lower, where a packet costs 45 us; settled at most 1.05; never beyond plain RSS by
more than the stake and what comes until it is back there.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.harness.process import cores
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.steer_live import Found, Plan

WORKS = (45.0, 15.0)  # microseconds a packet
WARM, COUNTED = 2.5, 3.0  # seconds


def run(options: Options) -> Iterator[Row]:
    yield from _live(options)
    yield from _simulated(options)


def _live(options: Options) -> Iterator[Row]:
    from burstline import dpdk

    if not dpdk.available():
        options.lacks("DPDK", "apt-get install clang libdpdk-dev pkg-config, then make build")
        return
    if len(cores()) < 2:
        options.fails("live", BurstlineError("there is one core", "run it where there are two"))
        return
    from benchmarks.harness.steer_live import own_process
    from benchmarks.harness.steer_traffic import write_traffic

    with TemporaryDirectory() as directory, own_process() as live:
        capture = Path(directory) / "elephant.pcap"
        write_traffic(capture)
        for work in WORKS[-1:] if options.quick else WORKS:
            yield from _beside(options, live, capture, work)


def _beside(options: Options, live: Callable[[Plan], Found], capture: Path, work: float) -> Iterator[Row]:
    from benchmarks.harness.steer_live import LOAD, Act, Plan, calibrated

    rounds, capacity = calibrated(live, capture, work)
    warm, counted = (0.5, 0.5) if options.quick else (WARM, COUNTED)
    case = f"live, {work:.0f} us a packet"

    def of(act: Act) -> Found:
        found = live(Plan(str(capture), rounds, LOAD * capacity, act, warm, counted))
        for fault in found.faults(steered=act == "on"):
            options.fails(f"{case}, {act}", BurstlineError(fault, "this is a fault of burstline; please report it"))
        return found

    runs = 1 if options.quick else options.runs(5)
    pairs = [(of("on"), of("off")) for _ in range(runs)]
    late = sum(ours.late_moves for ours, _ in pairs)
    options.say(f"steer: {case}: {capacity:,.0f} packets/s a core; {late} moves while it was counted")

    def row(what: str, figure: Callable[[Found], float], unit: str) -> Row:
        ours, theirs = (statistics.median(figure(one) for one in column) for column in zip(*pairs, strict=True))
        return Row("steer", f"{case}: {what}", "plain RSS", ours, theirs, unit, runs)

    yield row("mice, p99", lambda one: one.mice.p99, "us")
    yield row("mice, p50", lambda one: one.mice.p50, "us")
    yield row("elephant, p99", lambda one: one.elephant.p99, "us")
    yield row("queue full", lambda one: 100 * one.missed / one.made, "%")


def _simulated(options: Options) -> Iterator[Row]:
    from benchmarks.harness.steer_simulated import CASES, measured

    found = list(measured(quick=options.quick))
    for name in CASES:
        of = [one for one in found if one.case == name]
        means = [statistics.fmean(one.mean[k] for one in of) for k in range(3)]
        drops = [statistics.fmean(one.drops[k] for one in of) for k in range(3)]
        settled = [max((one.settled[k] for one in of if one.reachable), default=0.0) for k in range(3)]
        for k, peer in enumerate(("plain RSS", "RSS++, greedy")):
            yield Row("steer", f"{name}: mean", peer, means[2], means[k], "max/mean", len(of))
            if settled[2]:
                count = sum(one.reachable for one in of)
                yield Row("steer", f"{name}: settled, worst", peer, settled[2], settled[k], "max/mean", count)
            if max(drops):
                yield Row("steer", f"{name}: dropped", peer, drops[2], drops[k], "packets", len(of))
    worst = max(found, key=lambda one: one.cost[2] - one.cost[0])
    beyond, share = worst.cost[2] - worst.cost[0], max(one.cost[2] / one.cost[0] for one in found) - 1
    yield Row("steer", "beyond plain RSS, worst", "allowed", max(0.0, beyond), worst.allowed, "core-looks", len(found))
    yield Row("steer", "beyond plain RSS, worst", None, 100 * max(0.0, share), None, "%", len(found))
    if options.plot is not None:
        from benchmarks.harness.steer_plot import draw_loads

        options.say(f"steer: {draw_loads(options.plot)}")
