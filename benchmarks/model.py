"""The learned cost model beside its analytic prior: how far off nanoseconds a packet are, simulated.

Four workers over the nodes of a machine, 1,500 ns of computing a packet; load, skew and heavy flows change each second,
the balancer moves buckets. Each 0.1 s each worker's packets are predicted from its rate, flows, hops, fill, table and
burst, and then what they cost is learned. After 60 seconds errors are counted for ten more: means of what is off by
what it was. The prior is the planner's model; once it is told what computing costs, and once it takes that to be what
the planner does when nobody tells it (60 ns).

Goal: at most half the prior's error.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from burstline.cli.bench import Options, Row

MACHINES = ("xeon-6248-2s", "epyc-7763-2s-nps4", "xeon-8180-8s")


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.learned import LEARNED, SECONDS, measured, prior_of

    machines = MACHINES[:1] if options.quick else MACHINES
    seconds, learned = (12.0, 8.0) if options.quick else (SECONDS, LEARNED)
    for knows in (True, False):
        found = []
        case = f"computing {'told' if knows else 'taken to be 60 ns'}"
        for seed, machine in enumerate(machines):
            one = measured(machine, seed, prior_of(machine, knows_work=knows), seconds, learned)
            found.append(one)
            said = f"{100 * one.ours:.2f} %, prior {100 * one.prior:.2f} %, {'on' if one.is_on else 'off'}"
            options.say(f"model: {case}, {machine}: {said}, switched {one.switched} times")
        ours, prior = (100 * statistics.fmean(each) for each in zip(*((o.ours, o.prior) for o in found), strict=True))
        yield Row("model", f"{case}: off by", "analytic prior", ours, prior, "%", len(found))
