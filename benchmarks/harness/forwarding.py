"""Runs that forward packets on the last core, in processes of their own that can be stopped and go on; for the operate
bench."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.harness.engine import APPS, command
from benchmarks.harness.process import measuring_core
from burstline.cli.main import main
from burstline.engine.stats_reader import RunFile, open_runs
from burstline.errors import BurstlineError

PACKETS, FLOWS = 1500, 500
PATIENCE = 300.0  # seconds until packets must flow
Rates = tuple[float, float]  # packets in a second, and in one that the worker had its core


class Forwarding:
    """A run of the engine in its own process, which stands still but for `going` blocks."""

    def __init__(self, process: subprocess.Popen[bytes], run: RunFile, environment: dict[str, str]) -> None:
        self.process, self.environment = process, environment
        self._run, self._core = run, measuring_core()

    @contextmanager
    def going(self) -> Iterator[None]:
        """It goes on in the block."""
        self.process.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGSTOP)

    def rates(self, seconds: float) -> Rates:
        """By its own snapshots."""
        before, had, began = self._run.read().workers[0], self._had(), time.monotonic()
        time.sleep(seconds)
        after, has, ended = self._run.read().workers[0], self._had(), time.monotonic()
        if after.clock <= before.clock or has <= had:
            raise BurstlineError("the engine stands still", "run it again")
        rate = (after.received.packets - before.received.packets) / (after.clock - before.clock)
        return rate, rate * (ended - began) / (has - had)

    def exported(self) -> tuple[int, int]:
        """Records that its sinks took, and that they did not."""
        sinks = self._run.read().directory.get("exports", [])
        return sum(each["exported"] for each in sinks), sum(each["refused"] for each in sinks)

    def _had(self) -> float:
        """Seconds that the worker's thread, the only one on its core, was on it (proc_pid_schedstat of Linux)."""
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            if os.sched_getaffinity(int(task.name)) == {self._core}:
                return int((task / "schedstat").read_text().split()[0]) / 1e9
        raise BurstlineError("the engine has no worker on the last core", "run it again")


@contextmanager
def forwarding(cache: Path, exports: Sequence[str] = ()) -> Iterator[Forwarding]:
    """A run, once packets have flowed; its flow records go to `exports`."""
    capture, place = cache / "operate.pcap", cache / "operate-stats"
    with contextlib.redirect_stdout(sys.stderr):  # anew each time: what is there may be of another version
        if main(["gen", str(capture), "--packets", str(PACKETS), "--flows", str(FLOWS)]):
            raise BurstlineError(f"cannot write {capture}", "free some space")
    source = f"dpdk:net_pcap0,rx_pcap={capture},infinite_rx=1"
    words = command("run", APPS / "watched.py", source, "--out", "dpdk:net_null1", "--no-huge", "--idle", "poll")
    words += ["--cores", str(measuring_core()), *(word for sink in exports for word in ("--export", sink))]
    words = ["setpriv", "--pdeathsig", "KILL", *words]  # it would stand still for ever behind a bench that is killed
    environment = {**os.environ, "BURSTLINE_STATS": str(place)}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with _stats_at(place):
            run = _begun(process)
        process.send_signal(signal.SIGSTOP)
        yield Forwarding(process, run, environment)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def _stats_at(place: Path) -> Iterator[None]:
    """Runs are looked for there in the block."""
    before = os.environ.get("BURSTLINE_STATS")
    os.environ["BURSTLINE_STATS"] = str(place)
    try:
        yield
    finally:
        os.environ.pop("BURSTLINE_STATS")
        if before is not None:
            os.environ["BURSTLINE_STATS"] = before


def _begun(process: subprocess.Popen[bytes]) -> RunFile:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(BurstlineError):
            run = open_runs(str(process.pid))[0]
            if run.read().workers[0].received.packets:
                return run
        time.sleep(0.1)
    process.kill()
    raise BurstlineError(f"the engine does not begin: {process.communicate()[1].decode()[-500:]}", "see its error")
