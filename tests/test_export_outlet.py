"""The queue in front of an exporter: nobody waits for what is behind it, and every record is counted once."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.export.exporter import Exporter
from burstline.export.fault import Broken, Unreachable
from burstline.export.outlet import Outlet
from export_rows import rows, shape


class Scripted(Exporter):
    """Does with each batch what it is told: take it, be away, lose the first `n` rows and be away, break."""

    def __init__(self, outlet: Outlet, script: list[Any]) -> None:
        super().__init__(outlet.target)
        self.script, self.seen = script, list[int]()
        self.go = threading.Event()
        self.go.set()

    def open(self, shape: Any) -> None: ...

    def write(self, rows: Any) -> None:
        self.go.wait()
        step = self.script.pop(0) if self.script else "take"
        if step == "away":
            raise Unreachable("away")
        if step == "break":
            raise Broken("broken")
        if step != "take":
            taken, lost = (min(n, len(rows)) for n in step)
            self.seen += rows["bytes"][:taken].tolist()
            self.exported += taken
            lost = min(lost, len(rows) - taken)
            self.refused += lost
            raise Unreachable("lost", rows[taken + lost :])
        self.seen += rows["bytes"].tolist()
        self.exported += len(rows)

    def close(self) -> None: ...


def outlet(script: list[Any], options: str = "") -> tuple[Outlet, Scripted]:
    made = Outlet(f"ipfix+udp://127.0.0.1:4739?patience=0.2s{options}")
    made.exporter = Scripted(made, script)
    return made, made.exporter


STEPS = st.one_of(st.sampled_from(["take", "away"]), st.tuples(st.integers(0, 5), st.integers(0, 5)))


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, max_size=4), st.lists(st.integers(0, 8), max_size=5), st.booleans())
def test_all_that_came_was_exported_or_refused_in_order(script: list[Any], sizes: list[int], waits: bool) -> None:
    made, exporter = outlet(list(script))
    made.begin(shape())
    given_rows = rows(sum(sizes))
    for at, size in zip([sum(sizes[:k]) for k in range(len(sizes))], sizes, strict=True):
        made.put(given_rows[at : at + size], waits)
    made.close()
    status = made.status()
    assert status["exported"] + status["refused"] == sum(sizes)
    assert status["waiting"] == 0
    assert exporter.seen == sorted(set(exporter.seen))
    assert len(exporter.seen) == status["exported"]


def test_live_a_full_queue_refuses_and_nobody_waits() -> None:
    made, exporter = outlet([], "&queue=100")
    exporter.go.clear()
    made.begin(shape())
    given_rows = rows(1000)
    for at in range(0, 1000, 50):
        made.put(given_rows[at : at + 50], waits=False)  # returns, though nothing is taken
    assert made.status()["refused"] >= 850
    exporter.go.set()
    made.close()
    assert made.status()["exported"] + made.status()["refused"] == 1000
    assert made.status()["exported"] in (100, 150)


def test_over_a_file_whoever_brings_records_waits_and_none_is_refused() -> None:
    made, exporter = outlet([], "&queue=100")
    exporter.go.clear()
    made.begin(shape())
    given_rows, brought = rows(1000), threading.Event()

    def bring() -> None:
        for at in range(0, 1000, 50):
            made.put(given_rows[at : at + 50], waits=True)
        brought.set()

    thread = threading.Thread(target=bring)
    thread.start()
    assert not brought.wait(0.3)
    exporter.go.set()
    thread.join()
    made.close()
    assert exporter.seen == list(range(1000))


def test_a_sink_that_breaks_refuses_the_rest_and_says_why() -> None:
    made, _ = outlet(["take", "break"])
    made.begin(shape())
    for part in range(3):
        made.put(rows(10), waits=bool(part % 2))
    made.close()
    assert (made.status()["exported"], made.status()["refused"]) == (10, 20)
    assert made.failure is not None
    assert made.status()["trouble"] == "broken"


def test_an_outlet_begins_again_with_counts_of_its_own() -> None:
    made, exporter = outlet([])
    for _ in range(2):
        made.begin(shape())
        made.put(rows(10), waits=True)
        made.close()
        assert made.status()["exported"] == 10
    assert len(exporter.seen) == 20


class Collector:
    """Accepts TCP connections one after the other, reads until it is killed, and can come back on the same port."""

    def __init__(self, port: int = 0) -> None:
        self.server = socket.create_server(("127.0.0.1", port))
        self.port, self.data = self.server.getsockname()[1], bytearray()
        self.connection: socket.socket | None = None
        self.some = threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self) -> None:
        try:
            self.connection, _ = self.server.accept()
            while piece := self.connection.recv(1 << 16):
                self.data += piece
                self.some.set()
            self.connection.close()
        except OSError:
            pass

    def kill(self) -> None:
        """As the kernel does for a process that dies with bytes unread: a reset (RFC 9293, 3.10.7)."""
        self.server.close()
        if self.connection is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            self.connection.shutdown(socket.SHUT_RD)
            self.connection.close()
        self.thread.join()


@pytest.mark.parametrize("kind", ["ipfix+tcp", "arrow+tcp"])
def test_a_collector_that_is_killed_is_found_again_when_it_comes_back(kind: str) -> None:
    pytest.importorskip("pyarrow")
    first = Collector()
    made = Outlet(f"{kind}://127.0.0.1:{first.port}?patience=60s")
    made.begin(shape())
    brought = 0
    while not first.some.is_set() or brought < 1000:
        made.put(rows(100), waits=False)
        brought += 100
    first.kill()
    while made.status()["trouble"] == "":
        made.put(rows(100), waits=False)
        brought += 100
    second = Collector(first.port)
    made.put(rows(100), waits=False)
    made.close()
    second.thread.join()
    status = made.status()
    assert status["exported"] + status["refused"] == brought + 100
    assert status["connections"] == 2
    assert status["exported"] > 0
    if kind == "arrow+tcp":
        import pyarrow as pa

        with pa.ipc.open_stream(bytes(second.data)) as reader:  # whole, with a schema of its own
            found = reader.read_all()
        assert found.num_rows % 100 == 0
        assert found.num_rows >= 100
    second.server.close()


def test_a_collector_that_is_not_there_is_waited_for_once_and_not_for_each_batch() -> None:
    made, exporter = outlet(["away"] * 10_000)
    exporter.go.clear()
    made.begin(shape())
    for _ in range(100):
        made.put(rows(10), waits=False)
    exporter.go.set()
    made.close()  # a try may take seconds where nothing answers
    assert made.status()["refused"] == 1000
    assert len(exporter.script) > 10_000 - 40


def test_over_udp_records_wait_for_a_collector_that_comes_later() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Outlet(f"ipfix+udp://127.0.0.1:{port}?patience=60s")
    made.begin(shape())
    made.put(rows(10), waits=False)
    while not made.status()["trouble"]:
        made.put(rows(10), waits=False)
        time.sleep(0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", port))
        made.put(rows(10), waits=False)
        made.close()
        assert collector.recv(65535)[:2] == b"\x00\x0a"
    status = made.status()
    assert status["exported"] > 0
    assert status["waiting"] == 0
