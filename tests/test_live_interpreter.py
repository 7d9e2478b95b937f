"""Stages as plain Python between ports: the same as compiled, each packet counted once, no mbuf lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk.pool import Pool
from burstline.dpdk.ring_port import RingPort
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.live_interpreter import LiveInterpreter
from burstline.engine.live_ports import LivePorts
from burstline.engine.report import Report
from burstline.errors import BurstlineError
from burstline.ports.capture_reader import read_capture
from capture_files import pcap_header, record
from dpdk_live import alone, packet

LONG = Config().with_overrides(duration=60, hugepages=False)
QUICK = Config().with_overrides(duration=0.2, hugepages=False)
SOME = [packet(k, 60 + k % 40) for k in range(200)]


class Size(bl.Record):
    packets: bl.u64
    bytes: bl.u64


sizes = bl.FlowTable(Size, capacity=100)
seen = bl.Counter("seen")


@bl.stage
def count(pkt):  # type: ignore[no-untyped-def]
    seen.add()
    size = sizes[pkt]
    size.packets += 1
    size.bytes += pkt.length


@bl.stage
def by_number(pkt):  # type: ignore[no-untyped-def]
    number = pkt.eth.type if len(pkt.payload) < 4 else pkt.payload.be32(0)
    if number % 7 == 0:
        return bl.drop("seventh")
    if number % 7 == 1:
        return bl.CONSUME
    if number % 7 == 2:
        return bl.send(9)
    if number % 7 == 3:
        return bl.send(pkt.port - 1)  # from port 0: a number that no port has
    if number % 7 == 4:
        return bl.DROP
    if number % 7 == 5:
        pkt.eth.src = number
        return bl.send(pkt.port)
    if number % 49 == 6 and number // (pkt.port - pkt.port):
        return bl.DROP
    return bl.PASS


def _files(folder: Path) -> str:
    """A net_pcap device that receives what is in a file, once, and writes what is sent on it."""
    data = b"".join(record("<", 1, k, p) for k, p in enumerate([*SOME, packet(12, 3000)]))
    (folder / "in.pcap").write_bytes(pcap_header("<") + data)
    return f"net_pcap,rx_pcap={folder / 'in.pcap'},tx_pcap={folder / 'sent.pcap'}"


def _written(path: Path) -> list[bytes]:
    with open(path, "rb") as file:
        return [bytes(p.data) for p in read_capture(file, path.name)]


def _counts(report: Report) -> dict[str, Any]:
    assert report.balanced
    return {k: v for k, v in report.as_json().items() if k.startswith(("packets", "bytes", "drops", "stopped"))}


@contextmanager
def _stopped_after(run: Any, packets: int) -> Iterator[None]:
    """The run is told to stop once its stages have seen so many packets, however long that takes."""
    over = threading.Event()

    def watch() -> None:
        while seen.value < packets and not over.wait(0.01):
            pass
        run.stop()

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _same(folder: str, out: str | None) -> None:
    device = _files(Path(folder))
    pipeline = bl.Pipeline(count, by_number)
    sink = {"port": "dpdk:net_null", "file": f"{folder}/through.pcapng"}.get(str(out))
    results = []
    for kind in (LiveRun, LiveInterpreter):
        run = kind(pipeline, [device], sink, LONG)
        seen.reset()
        with _stopped_after(run, 201):
            report = run.run()
        written = [_written(p) for p in sorted(Path(folder).glob("*")) if p.name != "in.pcap"]
        results.append((_counts(report), written, seen.value, sizes.to_numpy().tobytes()))
    compiled, interpreted = results
    assert compiled == interpreted
    assert compiled[0]["packets_in"] == seen.value == 201
    assert compiled[0]["drops"]["seventh"]["packets"] == 29
    assert compiled[0]["drops"]["by_number"]["packets"] > 0
    assert compiled[0]["drops"]["by_number: error"]["packets"] > 0
    assert ("no such port" in compiled[0]["drops"]) is (out != "file"), "into a file goes what is sent anywhere"


@pytest.mark.parametrize("out", [None, "port", "file"])
def test_the_same_comes_out_as_with_compiled_stages(tmp_path: Path, out: str | None) -> None:
    alone(_same, str(tmp_path), out)


# ---- on rings, whose ends the tests hold ----

rings: list[RingPort] = []


@contextmanager
def _on_rings(*sizes: int) -> Iterator[Callable[..., LivePorts]]:
    """Devices named ring-loop are pairs of rings of these sizes, which `rings` has when they are open."""
    made = iter(sizes)

    def open_pair(self: LivePorts, device: str, pool: Pool, tx_offloads: Sequence[str]) -> RingPort:
        rings.append(RingPort.pair(pool, queues=self.workers, ring_size=next(made)))
        return rings[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LivePorts, "_ring_loop", open_pair)
        yield LivePorts


@bl.stage
def cross(pkt):  # type: ignore[no-untyped-def]
    injecting[0].one_came()
    if rings and pkt.payload.be32(0) == 0:
        RESULT.append([p.queues for p in rings])
    return bl.send(1 - pkt.port)


RESULT: list[Any] = []
injecting: list[_Injecting] = []


class _Injecting(LiveInterpreter):
    """Packets arrive as soon as the ports are open, and end the run; all that was sent is read before they close."""

    per_queue = 100

    def one_came(self) -> None:
        self._awaited -= 1
        if self._awaited == 0:
            self.stop()

    def _forward(self, ports: Any, started: float) -> None:
        injecting.append(self)
        self._awaited = self.per_queue * rings[0].queues
        for queue in range(rings[0].queues):
            assert rings[0].inject(SOME[: self.per_queue], queue) == self.per_queue
        super()._forward(ports, started)
        RESULT.append([[rings[1].drain(q) for q in range(rings[1].queues)], rings[0].drain()])


def _full() -> None:
    with _on_rings(1024, 64):
        run = _Injecting(bl.Pipeline(cross), ["ring-loop", "ring-loop,size=65"], None, LONG)
        report = run.run()
    (sent,), back = RESULT[-1]
    assert sent == SOME[:63], "what the ring took, in order"
    assert back == []
    assert report.sent.packets == 63
    assert report.drops["send failed"].packets == 37
    assert report.drops["send failed"].bytes == sum(len(p) for p in SOME[63:100])
    assert report.balanced


def test_what_a_port_does_not_take_is_counted_and_freed() -> None:
    alone(_full)


def _queues() -> None:
    with _on_rings(1024, 1024):
        two = LONG.with_overrides(workers=2)
        report = _Injecting(bl.Pipeline(cross), ["ring-loop", "ring-loop,size=65"], None, two).run()
    assert RESULT[0] == [2, 2]
    assert RESULT[-1][0] == [SOME[:100], SOME[:100]], "each queue's packets go out of the same queue"
    assert (report.received.packets, report.workers) == (200, 1)


def test_it_polls_every_queue_of_several_workers() -> None:
    alone(_queues)


def _stopping() -> None:
    run = LiveInterpreter(bl.Pipeline(stop_it), ["net_null"], None, QUICK.with_overrides(duration=600))
    RUNS.append(run)
    report = run.run()
    assert report.stopped
    assert report.received.packets % QUICK.engine.most_burst == 0, "it ends between two bursts"
    assert report.balanced
    assert report.first_packet_seconds is not None


RUNS: list[LiveInterpreter] = []


@bl.stage
def stop_it(pkt):  # type: ignore[no-untyped-def]
    RUNS[0].stop()


def test_it_stops_at_a_burst_when_told_to() -> None:
    alone(_stopping)


def _leak() -> None:
    with pytest.raises(BurstlineError, match=r"1 of \d+ packet buffers were not given back"):
        LiveInterpreter(bl.Pipeline(keep), ["net_null"], None, QUICK).run()


@bl.stage
def keep(pkt):  # type: ignore[no-untyped-def]
    """Once: take another packet from the port, and forget it, as a broken driver would."""
    from burstline.dpdk.binding import native

    if not RESULT:
        RESULT.append(native.receive(next(iter(native.ports())), 0, 1))


def test_a_buffer_that_does_not_come_back_is_an_error() -> None:
    alone(_leak)


# ---- from the command line ----

APP = """
import burstline as bl
names = bl.Digest(type("Name", (bl.Record,), {"__annotations__": {"length": bl.u64}}))

@bl.stage
def note(pkt):
    names.new().length = pkt.length

@names.batches
def show(batch):
    print("batch", flush=True)

pipeline = bl.Pipeline(note)
"""


def _burstline(folder: Path, *words: str) -> subprocess.Popen[str]:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "burstline", "run", "app.py", "dpdk:net_null", "--interpret", "--no-huge", *words]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_with_everything_counted(tmp_path: Path, number: signal.Signals) -> None:
    process = _burstline(tmp_path, "--json")
    assert process.stderr is not None and "batch" in process.stderr.readline(), "digests arrive while it runs"
    process.send_signal(number)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    report = json.loads(out)
    assert report["mode"] == "interpreted"
    assert report["stopped"]
    assert report["packets_in"] == report["packets_consumed"] > 0
    assert report["ports"][0]["driver"] == "net_null"


def test_a_full_disk_ends_it_and_says_what_was_lost(tmp_path: Path) -> None:
    started = time.monotonic()
    process = _burstline(tmp_path, "--out", "/dev/full", "--duration", "600", "--json")
    out, said = process.communicate(timeout=1200)
    assert process.returncode == 1
    assert "No space left on device" in said
    assert time.monotonic() - started < 300, "it did not go on until --duration was over"
    report = json.loads(out)
    assert report["packets_out"] == 0, "nothing is in the file"
    assert report["drops"]["sink failed"]["packets"] == report["packets_in"] > 0
    assert report["drops"]["sink failed"]["bytes"] == report["bytes_in"]


def _limited(folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    run = LiveInterpreter(
        bl.Pipeline(count), ["net_null,size=1500"], f"{folder}/out.pcap", QUICK.with_overrides(duration=600)
    )
    with pytest.raises(BurstlineError, match="File too large"):
        run.run()
    report = run.report
    kept = _written(Path(folder, "out.pcap"))
    assert 0 < len(kept) == report.sent.packets
    assert sum(map(len, kept)) == report.sent.bytes
    assert report.drops["sink failed"].packets > 0
    assert report.balanced


def test_a_file_that_cannot_grow_holds_what_the_report_says(tmp_path: Path) -> None:
    alone(_limited, str(tmp_path))
