"""Forwarding with everything that looks on, against without; packets/s, more is better.

Runs of one worker on the last core, which drops some packets of a capture that go round (`net_pcap`), counts the flows
of the others, and sends them (`net_null`). A record is 10 ms old when it leaves: some 50,000 do a second.
At one run all look on, on the other cores: its records go to Parquet files and by IPFIX over TCP to a collector;
`burstline top` is in a terminal of 80 × 24; `burstline serve` has a client that follows its stream and asks for flows,
drops and metrics each second; `burstline metrics` is read each second and exports by OpenTelemetry each second. Two
other runs have none of it: one to compare with, and one that shows how far two runs of the same are apart.

They take turns on the core: one goes on for seconds, and all others, with those that look on, stand still (SIGSTOP).
After some turns all begin anew, as two processes are not alike in where their memory lies. Rates are by the worker's
own counts: in a second, and in a second that it had its core, which a machine with other work leaves alone.

Goal: 0.99 times.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from benchmarks.harness.forwarding import Rates

CASE = "top, dashboard, metrics and export on"
SAME = "two runs without them"
ON_CORE = ", of the time on its core"
TURNS = 16


def run(options: Options) -> Iterator[Row]:
    from benchmarks.harness.onlookers import missing
    from benchmarks.harness.process import cores
    from burstline import dpdk

    if lacking := missing():
        options.lacks(", ".join(lacking), "pip install 'burstline[top,serve,metrics,otel,arrow]'")
        return
    if not dpdk.available() or len(cores()) < 2:
        options.fails(CASE, BurstlineError("it takes DPDK and two cores", "see `burstline doctor`"))
        return
    turns = [turn for _ in range(options.runs(5)) for turn in _turns(options)]
    for case, which in ((CASE, 0), (SAME, 1)):
        for k, what in enumerate(("", ON_CORE)):
            ratio = statistics.median(turn[which][k] / turn[2][k] for turn in turns)
            alone = statistics.median(turn[2][k] for turn in turns)
            yield Row("operate", case + what, "none of them", ratio * alone, alone, "packets/s", len(turns))


def _turns(options: Options) -> list[list[Rates]]:
    """Rates of the run that is looked at and of the two that are not, in each turn."""
    from benchmarks.harness.flow_collector import flow_collector
    from benchmarks.harness.forwarding import forwarding
    from benchmarks.harness.onlookers import Onlookers
    from benchmarks.harness.process import cores, measuring_core

    seconds, settle, turns = (0.5, 0.5, 2) if options.quick else (2.0, 0.5, TURNS)
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(dir=options.cache))
        collector = stack.enter_context(flow_collector("tcp", set(cores()) - {measuring_core()}))
        sinks = (f"{folder}/%H%M%S.parquet?rotate=10s", f"ipfix+tcp://{collector}")
        engines = [stack.enter_context(forwarding(options.cache, exports)) for exports in (sinks, (), ())]
        onlookers = stack.enter_context(Onlookers(engines[0]))
        with engines[0].going(), onlookers.going():
            onlookers.wait()
        before, found = (onlookers.answers(), engines[0].exported()), []
        for turn in range(turns):
            rates: list[Rates] = [(0.0, 0.0)] * len(engines)
            for which in range(len(engines)):
                at = (turn + which) % len(engines)  # none comes always behind the same one
                with engines[at].going(), onlookers.going() if at == 0 else nullcontext():
                    time.sleep(settle)
                    rates[at] = engines[at].rates(seconds)
            found.append(rates)
        answers, (took, refused) = onlookers.answers() - before[0], engines[0].exported()
        if not answers or took == before[1][0]:
            raise BurstlineError("nobody looked on, or took records, in its turns", "try `burstline serve` by hand")
        _say(options, answers, took - before[1][0], refused, found)
        return found


def _say(options: Options, answers: int, took: int, refused: int, turns: list[list[Rates]]) -> None:
    watched, other = (statistics.median(turn[which][0] / turn[2][0] for turn in turns) for which in (0, 1))
    options.say(
        f"operate: {answers:,} answers, {took:,} records exported and {refused:,} refused; "
        f"{watched:.4f}, and {other:.4f} between two without"
    )
