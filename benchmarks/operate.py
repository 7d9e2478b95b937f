"""Forwarding with everything that looks on, against without; packets/s, more is better.

One worker on the last core drops some packets of a capture that go round (`net_pcap`), counts the flows of the others,
and sends them (`net_null`). Looking on, on the other cores: `burstline top` in a terminal of 80 × 24; `burstline serve`
with a client that follows its stream and asks for flows, drops and metrics each second; `burstline metrics` that a
client reads each second and that exports by OpenTelemetry each second. In one run of the engine, seconds with them and
seconds in which they are stopped (SIGSTOP) take turns, many times, as the moods of a machine last longer than that;
what they have missed they catch up on. The engine publishes, and keeps samples of dropped packets, in both. Rates are
by the worker's own counts: in a second, and in a second that it had its core, which a machine with other work leaves
alone.

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
    seconds, runs = (0.5, 2) if options.quick else (1.0, options.runs(120))
    pairs: list[tuple[tuple[float, float], tuple[float, float]]] = []
    with forwarding(options.cache) as engine, Onlookers(engine) as onlookers:
        onlookers.wait()
        time.sleep(0.5 if options.quick else 5.0)
        for number in range(runs + 1):
            watched = engine.rates(seconds)
            with onlookers.stopped():
                alone = engine.rates(seconds)
            if number:  # the first pair warms up
                pairs.append((watched, alone))
            if number % 20 == 0 or options.quick:
                said = " and ".join(f"{w / a:.4f} ({a / 1e6:.2f} Mpps)" for w, a in zip(watched, alone, strict=True))
                options.say(f"operate: {onlookers.answers()} answers, {said}")
    for k, case in enumerate((CASE, f"{CASE}, of the time on its core")):
        ratio = statistics.median(watched[k] / alone[k] for watched, alone in pairs)
        median = statistics.median(alone[k] for _, alone in pairs)
        yield Row("operate", case, "none of them", ratio * median, median, "packets/s", len(pairs))
