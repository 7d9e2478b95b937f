"""5-tuple flows with packets and bytes of a capture file, by one worker; packets/s, more is better.

The captures are generated: 1 M packets in 10 k flows and 10 M in 100 k, 360 bytes on average, flow sizes after Zipf's
law with exponent 1.1, IPv4, IPv6 and VLAN tags, TCP, UDP and ICMP. A flow is one direction of a 5-tuple; tags are
skipped; ports are 0 where there are none, and in fragments after the first; bytes are those of the whole frame on the
wire. The file is warm. Everything runs on the same core, in turns, a new process each time; what counts is the time in
which packets are processed, not the start of the process. Every result is compared with ours, flow by flow.

Peers that would take minutes get the first packets of the file, as the case says, and their rate on these is compared
with ours on the whole file. `C reading chunks` and `C over a mapped file` are our own yardsticks (c/): the same work,
clang -O3 -march=native. tshark's time is that of the process less its start; it is measured as it comes, and with its
analysis of TCP switched off, which the fields do not need.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import captures, engine
from benchmarks.harness.flow_peers import Absent, FlowPeer, find
from benchmarks.harness.flows import Flows, must_equal, read
from benchmarks.harness.process import cores, measuring_core
from burstline.cli.bench import Options, Row, alternate
from burstline.errors import BurstlineError

APP = engine.APPS / "flows.py"
UNIT = "packets/s"
FULL = ((1_000_000, 10_000), (10_000_000, 100_000))
QUICK = ((20_000, 500),)
SPARE = 2  # tables hold this many times the generated flows


def run(options: Options) -> Iterator[Row]:
    for packets, flows in QUICK if options.quick else FULL:
        path = captures.capture(options.cache, packets, flows, options.say)
        bench = Offline(options, path, packets, flows)
        for peer in find(options.cache, SPARE * flows):
            if isinstance(peer, Absent):
                options.lacks(peer.name, peer.install)
                continue
            try:
                yield bench.against(peer)
            except BurstlineError as error:
                options.fails(f"{bench.case}, {peer.name}", error)
        if len(cores()) > 1:
            yield bench.two_workers()


def count(packets: int) -> str:
    """10M, 100k: as the cases are named."""
    for factor, letter in ((1_000_000, "M"), (1000, "k")):
        if packets >= factor:
            return f"{packets // factor}{letter}"
    return str(packets)


class Offline:
    """The rows of one capture."""

    def __init__(self, options: Options, path: Path, packets: int, flows: int) -> None:
        self.options, self.path, self.packets, self.flows = options, path, packets, flows
        self.case = f"{count(packets)} packets, {count(flows)} flows"
        self.wall: list[float] = []

    def ours(self, path: Path, workers: int = 1, core: int | None = None) -> tuple[float, Flows]:
        """Packets/s by the engine's report, and the flows."""
        found = self.options.cache / "our-flows.csv"
        env = {"FLOWS_OUT": str(found), "FLOWS_CAPACITY": str(SPARE * self.flows)}
        start = time.perf_counter()
        report = engine.report(engine.offline(APP, path, workers), core=core, env=env)
        self.wall.append(time.perf_counter() - start)
        return engine.rate(report), read(found)

    def against(self, peer: FlowPeer) -> Row:
        """Our rate on the file beside the peer's on it, or on its first packets."""
        core = measuring_core()
        sampled = peer.sample is not None and peer.sample < self.packets
        path = captures.first(self.path, peer.sample) if sampled and peer.sample else self.path
        expected = self.ours(path, core=core)[1]

        def theirs() -> float:
            rate, flows = peer.measure(path)
            must_equal(expected, flows, peer.name)
            return rate

        runs = self.options.runs(peer.runs)
        self.wall.clear()
        a, b = alternate(lambda: self.ours(self.path, core=core)[0], theirs, runs)
        self.options.say(f"offline: our whole process, flows written: {statistics.median(self.wall):.2f} s wall time")
        case = f"{self.case}; theirs on the first {count(peer.sample)}" if sampled and peer.sample else self.case
        return Row("offline", case, peer.name, a, b, UNIT, runs)

    def two_workers(self) -> Row:
        """Two workers on two cores beside one worker."""
        expected = self.ours(self.path)[1]

        def two() -> float:
            rate, flows = self.ours(self.path, workers=2)
            must_equal(expected, flows, "the run with 2 workers")
            return rate

        runs = self.options.runs(5)
        a, b = alternate(two, lambda: self.ours(self.path)[0], runs)
        return Row("offline", f"{self.case}, 2 workers", "1 worker", a, b, UNIT, runs)
