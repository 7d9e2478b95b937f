"""Saving an application while it forwards: from the saved file to the new code running, s; packets lost on the way.

Two ports forward 64-byte packets to each other on one core at full rate: two rings of packets in memory, or two
`net_null`s. One application swaps the MAC addresses, another looks addresses up and counts flows. It is replaced again
and again, each time with another stage; a case's time is the median from the moment of the replacement (rename(2)) to
that in which the worker was seen to run by the new code. Lost is what came in and was neither sent nor consumed,
whatever the reason, and what the devices missed. There is no peer. The goals are 1 s and no packet.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from benchmarks.harness import engine
from benchmarks.harness.process import measuring_core
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError

MAC_SWAP = """import burstline as bl


@bl.stage
def forward(pkt):
    if pkt.eth.type == {number}:
        return bl.drop("never")
    pkt.eth.dst, pkt.eth.src = pkt.eth.src, pkt.eth.dst
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(forward)
"""
FIREWALL = """import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


flows = bl.FlowTable(Flow, capacity=100_000)
blocked = bl.PrefixSet(["192.0.2.0/24", "2001:db8::/32"])


@bl.stage
def block(pkt):
    if pkt.ipv4.src in blocked or pkt.ipv6.src in blocked or pkt.udp.dport == {number}:
        return bl.drop("blocked")


@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length


@bl.stage
def forward(pkt):
    return bl.send(1 - pkt.port)


pipeline = bl.Pipeline(block, count, forward)
"""
RING = ("dpdk:ring-loop,packets=256", "dpdk:ring-loop,packets=256,size=64")
NULL = ("dpdk:net_null0,size=64,copy=0", "dpdk:net_null1,size=64,copy=0")
CASES = {
    "MAC swap, net_ring loops": (MAC_SWAP, RING),
    "MAC swap, net_null": (MAC_SWAP, NULL),
    "firewall with flows, net_ring loops": (FIREWALL, RING),
}
PATIENCE = 60.0  # seconds for a start, or a swap


def run(options: Options) -> Iterator[Row]:
    swaps = options.runs(15)
    for name, (app, devices) in CASES.items():
        try:
            seconds, report = forward_and_save(app, devices, swaps)
        except BurstlineError as error:
            options.fails(name, error)
            continue
        yield Row("swap", f"from a saved file to the new code, {name}", None, seconds, None, "s", swaps)
        yield Row("swap", f"packets lost, {name}", None, lost(report), None, "packets", swaps)
        yield Row("swap", f"rate meanwhile, {name}", None, engine.rate(report), None, "packets/s", swaps)


def lost(report: dict[str, Any]) -> int:
    """Packets that came in and did not go out again, and those that the devices say they could not give."""
    missed = sum(port["missed"] + port["errors"] + port["no_buffer"] for port in report["ports"])
    return int(report["packets_in"] - report["packets_out"] - report["packets_consumed"] + missed)


def forward_and_save(text: str, devices: tuple[str, ...], swaps: int) -> tuple[float, dict[str, Any]]:
    """The median time from a saved file to the new code, and the report of the whole run."""
    with tempfile.TemporaryDirectory(prefix="burstline-bench-") as directory:
        app = Path(directory) / "app.py"
        save(app, text, 0)
        core = ["--workers", "1", "--cores", str(measuring_core()), "--idle", "poll", "--no-huge"]
        words = engine.command("run", app, *devices, "--watch", "--json", *core)
        environment = {**os.environ, "BURSTLINE_CACHE": str(Path(directory) / "cache")}
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        ) as process:
            try:
                lines = Lines(process.stderr)
                lines.wait_for("watching", 1)
                saved = []
                for number in range(1, swaps + 1):
                    saved.append(save(app, text, number))
                    lines.wait_for("swapped", number)
                process.send_signal(signal.SIGINT)
                assert process.stdout is not None
                report = json.loads(process.stdout.read() or "{}")
            except BaseException:
                process.kill()
                raise
        done = report.get("swaps", ())
        if len(done) != swaps:
            raise BurstlineError(f"{len(done)} of {swaps} saved files were swapped in", "\n".join(lines.seen[-5:]))
        return statistics.median(b - a for a, b in zip(saved, done, strict=True)), report


def save(app: Path, text: str, number: int) -> float:
    """Replace the application as editors do; returns when."""
    new = app.with_suffix(".new")
    new.write_text(text.format(number=0x1000 + number))
    now = time.time()
    os.replace(new, app)
    return now


class Lines:
    """What a process says, as it says it."""

    def __init__(self, stream: IO[str] | None) -> None:
        self.seen: list[str] = []
        self._come = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Iterable[str]) -> None:
        for line in stream:
            with self._come:
                self.seen.append(line.rstrip())
                self._come.notify()
        with self._come:
            self._ended = True
            self._come.notify()

    def wait_for(self, word: str, count: int) -> None:
        """Until `count` lines have had the word in them."""
        with self._come:
            came = self._come.wait_for(
                lambda: self._ended or sum(word in line for line in self.seen) >= count, PATIENCE
            )
            if not came or self._ended:
                raise BurstlineError(f"the engine did not say {word!r} {count} times", "\n".join(self.seen[-5:]))
