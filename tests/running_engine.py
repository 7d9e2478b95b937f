"""A live run of its own process, whose packets never end, for tests of what looks at it from outside."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from burstline.cli.main import main
from burstline.errors import BurstlineError
from burstline.view.attached import Attached, attach

PACKETS = 1500  # fewer than there are buffers: net_pcap holds them all
PATIENCE = 240
APP = """
import burstline as bl


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64
    first: bl.i64


flows = bl.FlowTable(Flow, capacity=10_000)
blocked = bl.PrefixSet(["10.0.128.0/17"])
small, large = bl.Counter("small"), bl.Counter("large")


@bl.stage
def sizes(pkt):
    if pkt.length < 128:
        small.add()
    elif pkt.length > 1023:
        large.add()


@bl.stage
def drop_blocked(pkt):
    if pkt.ipv4 and pkt.ipv4.src in blocked:
        return bl.drop("blocked")


@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    if flow.first == 0:
        flow.first = pkt.time


pipeline = bl.Pipeline(sizes, drop_blocked, count)
"""


@dataclass
class Engine:
    """`said` is the file of what it says on standard error."""

    process: subprocess.Popen[str]
    place: Path
    capture: Path
    said: Path

    def environment(self) -> dict[str, str]:
        return environment(self.place)

    def attached(self) -> Attached:
        return attach(str(self.process.pid))


def environment(place: Path) -> dict[str, str]:
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PYTHONPATH": path, "BURSTLINE_STATS": str(place / "stats")}


@contextmanager
def engine(place: Path, *options: str) -> Iterator[Engine]:
    """Running, with packets flowing. The caller has BURSTLINE_STATS set to `place / "stats"`."""
    app, capture, said = place / "app.py", place / "capture.pcap", place / "said"
    app.write_text(APP)
    assert main(["gen", str(capture), "--packets", str(PACKETS), "--flows", "300"]) == 0
    source = f"dpdk:net_pcap0,rx_pcap={capture},infinite_rx=1"
    words = ["run", str(app), source, "--out", "dpdk:net_null1", "--no-huge", "--json", *options]
    words += ["--duration", "900"]  # if nobody is there any more to end it
    with said.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "burstline", *words],
            env=environment(place), stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    try:
        made = Engine(process, place, capture, said)
        _wait(made)
        _give_way(process.pid)
        yield made
    finally:
        process.kill()
        process.communicate()


def _give_way(pid: int) -> None:
    """Its worker would have a core for itself."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(task.name), 19)


def _wait(made: Engine) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        assert made.process.poll() is None, made.said.read_text()
        try:
            run = made.attached()
        except BurstlineError:
            time.sleep(0.1)
            continue
        snap = run.snapshot()
        run.close()
        if snap.totals["dropped"].packets and snap.ports:
            return
        time.sleep(0.1)
    raise AssertionError(f"it does not begin: {made.said.read_text()}")
