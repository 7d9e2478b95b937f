"""Forwarding with everything that looks on, against without; packets/s, more is better.

One worker on the last core drops some packets of a capture that go round (`net_pcap`), counts the flows of the others,
and sends them (`net_null`). Looking on, on the other cores: `burstline top` in a terminal of 80 × 24; `burstline serve`
with a client that follows its stream and asks for flows, drops and metrics each second; `burstline metrics` that a
client reads each second and that exports by OpenTelemetry each second (records of flows go nowhere). Rates are by the
worker's own counts: in a second, and in a second that it had its core, which a machine with other work leaves alone.

On against off, in one run of the engine: all are started, and end; until the engine has noticed that nobody looks any
more, 16 seconds go by, in which a machine's mood may change. In turn: a second with them, and one in which they are
stopped (SIGSTOP), many times. What the engine does for them by itself (samples of dropped packets) is then on in both,
so this tells only what they take.

Goal: 0.99 times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.onlookers import Forwarding

CASE = "top, dashboard, metrics and export on"
IN_TURN = f"{CASE}, in turn"
ON_CORE = ", of the time on its core"
Rates = tuple[float, float]  # packets in a second, and in one that the worker had its core
Pair = tuple[Rates, Rates]  # looked at, and alone


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.onlookers import forwarding, missing
    from benchmarks.harness.process import cores
    from burstline import dpdk

    if lacking := missing():
        options.lacks(", ".join(lacking), "pip install 'burstline[top,serve,metrics,otel]'")
        return
    if not dpdk.available() or len(cores()) < 2:
        options.fails(CASE, BurstlineError("it takes DPDK and two cores", "see `burstline doctor`"))
        return
    with forwarding(options.cache) as engine:
        for case, measured in ((CASE, on_and_off), (IN_TURN, in_turn)):
            _, *pairs = measured(engine, options)  # the first one warms up
            for k, what in enumerate(("", ON_CORE)):
                ratio = statistics.median(watched[k] / alone[k] for watched, alone in pairs)
                median = statistics.median(alone[k] for _, alone in pairs)
                yield Row("operate", case + what, "none of them", ratio * median, median, "packets/s", len(pairs))


def on_and_off(engine: Forwarding, options: Options) -> Iterator[Pair]:
    from benchmarks.harness.onlookers import Onlookers

    seconds, settle = (0.5, 0.5) if options.quick else (4.0, 3.0)
    for _ in range(options.runs(9) + 1):
        with Onlookers(engine) as onlookers:
            onlookers.wait()
            time.sleep(settle)
            watched = engine.rates(seconds)
            answers = onlookers.answers()
        engine.forget(quick=options.quick)
        pair = watched, engine.rates(seconds)
        _say(options, answers, pair)
        yield pair


def in_turn(engine: Forwarding, options: Options) -> Iterator[Pair]:
    from benchmarks.harness.onlookers import Onlookers

    seconds, settle = (0.5, 0.5) if options.quick else (1.0, 5.0)
    with Onlookers(engine) as onlookers:
        onlookers.wait()
        time.sleep(settle)
        for number in range(options.runs(120) + 1):
            watched = engine.rates(seconds)
            with onlookers.stopped():
                pair = watched, engine.rates(seconds)
            if number % 20 == 0 or options.quick:
                _say(options, onlookers.answers(), pair)
            yield pair


def _say(options: Options, answers: int, pair: Pair) -> None:
    said = " and ".join(f"{w / a:.4f} ({a / 1e6:.2f} Mpps)" for w, a in zip(*pair, strict=True))
    options.say(f"operate: {answers} answers, {said}")
