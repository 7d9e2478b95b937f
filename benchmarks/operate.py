"""Forwarding with everything that looks on, against without; packets/s, more is better.

One worker on the last core drops some packets of a capture that go round (`net_pcap`), counts the flows of the others,
and sends them (`net_null`). Looking on, on the other cores: `burstline top` in a terminal of 80 × 24; `burstline serve`
with a client that follows its stream and asks for flows, drops and metrics each second; `burstline metrics` that a
client reads each second and that exports by OpenTelemetry each second. They are there and not in turn, in the same run
of the engine, and what each of them took from it is that they were answered. Rates are of the worker's own counts.

Goal: 0.99 times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

CASE = "top, dashboard, metrics and export on"


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.onlookers import Onlookers, forwarding, missing
    from benchmarks.harness.process import cores
    from burstline import dpdk

    if lacking := missing():
        options.lacks(", ".join(lacking), "pip install 'burstline[top,serve,metrics,otel]'")
        return
    if not dpdk.available() or len(cores()) < 2:
        options.fails(CASE, BurstlineError("it takes DPDK and two cores", "see `burstline doctor`"))
        return
    seconds, runs = (0.5, 2) if options.quick else (4.0, options.runs(9))
    settle = 0.5 if options.quick else 3.0
    pairs = []
    with forwarding(options.cache) as engine:
        for number in range(runs + 1):
            with Onlookers(engine, options.cache) as onlookers:
                onlookers.wait()
                time.sleep(settle)
                watched = engine.rate(seconds)
                answers = onlookers.answers()
            engine.forget(quick=options.quick)
            alone = engine.rate(seconds)
            if number:  # the first pair warms up
                pairs.append((watched, alone))
            options.say(f"operate: {watched / 1e6:.3f} Mpps watched ({answers} answers), {alone / 1e6:.3f} alone")
    ratio = statistics.median(watched / alone for watched, alone in pairs)
    alone = statistics.median(each[1] for each in pairs)
    yield Row("operate", CASE, "none of them", ratio * alone, alone, "packets/s", len(pairs))
