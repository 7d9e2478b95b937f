"""Steering: the load of the fullest core by the mean load ("max/mean"), on 8 simulated cores; less is better.

Traces of a second, 100 looks of 10 ms, of each kind eight: steady ones by Zipf's law, with and without noise, of which
the fullest core of the second half is told too ("settled, worst") where a placement within 1.05 exists; elephants that
come and go, or that are all hashed to one core; bursts; skew that shifts; and what is made to fool a controller: flows
that die when they have just been placed, flows that are all alike, one larger than a core, mice alone, crowded places
that become empty ones. Beside plain RSS and a greedy policy over buckets as RSS++ has it, ours places flows and
buckets. "Beyond plain RSS" is what ours cost more at the worst trace, in cores times looks of the fullest core's load,
with overload and the work of moves, and in percent of all; beside it is what its ledger allows: the stake, and the
looks until plain RSS is in force again. `--plot DIRECTORY` draws core loads over time.

Goals: settled at most 1.05; never beyond plain RSS by more than the stake and what comes until it is back there.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from burstline.cli.bench import Options, Row


def run(options: Options) -> Iterator[Row]:
    yield from _simulated(options)


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
