"""`burstline stats` reads whole, exact counts of running pipelines, without their help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import stage_of
from burstline import dpdk
from burstline.cli.main import main
from burstline.cli.stats import Interval
from burstline.engine.offline import FileRun
from burstline.engine.publisher import Publisher
from burstline.engine.report import Count
from burstline.engine.stats_file import PAGE, StatsFile
from burstline.engine.stats_layout import LAYOUT, LINE, area_size, lines, snapshot_size
from burstline.engine.stats_reader import Reading, RunFile, WorkerCounts, is_meant
from burstline.engine.worker import Snapshot, Worker
from burstline.errors import BurstlineError
from burstline.native.kernel import Kernel
from burstline.state.region import Block, Region
from dpdk_live import needs_root
from test_swap import Stream, running, until

write = Kernel("stats_writer_kernel:write", int, int, int)

APP = """
import burstline as bl

hits, octets = bl.Counter("hits"), bl.Counter("octets")


@bl.stage
def count(pkt):
    hits.add()
    octets.add(pkt.length)
    if pkt.udp.sport & 1:
        return bl.drop("odd")


pipeline = bl.Pipeline(count)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of the tests are seen by nobody else, nor others by them."""
    folder = tmp_path / "shared"
    monkeypatch.setenv("BURSTLINE_STATS", str(folder))
    return folder


# ---- snapshots ----


def test_every_snapshot_that_is_read_is_whole_while_a_worker_writes_without_a_pause() -> None:
    reasons, counters = 3, 13
    file, words, stop = StatsFile(), Region(4096), Region(64)
    offset, memory = file.piece(area_size(reasons, counters))
    snapshot, context = Block(Snapshot.layout), Block(Worker.layout)
    snapshot.set(
        area=memory.address, size=snapshot_size(reasons, counters), tallies=words.address,
        tally_lines=lines(2 * reasons), counters=words.address + LINE, counter_lines=lines(counters),
    )  # fmt: skip
    context.set(snapshot=snapshot.address, stop=stop.address)
    named = [[k, f"c{k}"] for k in range(counters)]
    version = {"reasons": ["a", "b", "c"], "counters": named, "areas": [offset]}
    version["snapshot"] = snapshot_size(reasons, counters)
    file.publish({"cores": [0], "versions": [version], "gone": {"counts": [], "drops": {}, "counters": {}}})
    write.load()
    thread = threading.Thread(target=write, args=(context.address, words.address, 3 * LINE // 8))
    run = RunFile(file.path)
    assert run.read().workers[0].clock == 0, "nothing yet"
    thread.start()
    seen = set()
    try:
        until(lambda: run.read().workers[0].clock)
        reads = 0
        while reads < 8000 or (len(seen) <= 100 and reads < 800_000):  # the writer may have to wait for its core
            reads += 1
            worker = run.read().workers[0]
            number = worker.received.packets
            assert worker.consumed.packets == number
            assert set(worker.counters.values()) == {number}
            assert {n for c in worker.drops.values() for n in (c.packets, c.bytes)} == {number}
            seen.add(number)
    finally:
        stop.set_i64(0, 1)
        thread.join()
        run.close()
        file.close()
    assert len(seen) > 100, "the writer was at it meanwhile"
    assert sorted(seen)[-1] <= context.get("packets_in")


# ---- a run, read by itself ----


def balanced(worker: WorkerCounts) -> bool:
    return worker.received == worker.sent + worker.consumed + worker.dropped


def named(reading: Reading) -> dict[str, int]:
    return {name: sum(w.counters.get(k, 0) for w in reading.workers) for k, name in reading.names.items()}


def drops(reading: Reading) -> dict[str, int]:
    found: dict[str, int] = {}
    for worker in reading.workers:
        for reason, count in worker.drops.items():
            found[reason] = found.get(reason, 0) + count.packets
    return found


def stages(names: str, **counters: bl.Counter) -> bl.Pipeline:
    body = "\n".join(f"    {name}.add()" for name in names)
    source = f"def count(pkt):\n{body}\n    if pkt.udp.sport & 1:\n        return bl.drop('odd {names}')"
    return bl.Pipeline(stage_of(source, **counters))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_read_is_what_python_sees_also_over_swaps_and_at_the_end(tmp_path: Path, workers: int) -> None:
    a, b, c = (bl.Counter(name) for name in "abc")
    stream = Stream(tmp_path)
    publisher = Publisher("x/app.py", "stream", 0.001, 1)
    run = FileRun(stages("ab", a=a, b=b), stream.path, None, workers=workers, publisher=publisher)
    with running(run, stream) as finish:
        (path,) = Path(os.environ["BURSTLINE_STATS"]).glob("*.stats")
        reader = RunFile(path)
        last = 0

        def moves() -> bool:
            reading = reader.read()
            assert all(map(balanced, reading.workers))
            counts = named(reading)
            assert counts["b"] == sum(w.received.packets for w in reading.workers)
            nonlocal last
            before, last = last, counts["b"]
            assert last >= before
            return last > before

        for _ in range(20):
            until(moves)
        assert reader.read().names.keys() == {a.identity, b.identity}
        run.swap(stages("bc", b=b, c=c))
        for _ in range(20):
            until(moves)
        assert set(named(reader.read())) == {"b", "c"}
        for k in range(6):  # places in the file are used again
            run.swap(stages("bc" if k & 1 else "ab", a=a, b=b, c=c))
            until(moves)
        assert path.stat().st_size < 60_000 and len(b.held.places) == workers
        report = finish()
        final = reader.read()
        assert final.ended and not path.exists()
        assert sum(w.received.packets for w in final.workers) == report.received.packets == b.value
        assert named(final) == {"b": b.value, "c": c.value}
        assert drops(final) == {reason: count.packets for reason, count in report.drops.items()}
        reader.close()
    assert publisher.warnings == []


def test_a_run_that_cannot_publish_runs_and_says_so(tmp_path: Path, place: Path) -> None:
    place.write_text("no directory")
    stream = Stream(tmp_path)
    run = FileRun(stages("a", a=bl.Counter("a")), stream.path, None, publisher=Publisher("app.py", "stream", 1, 1))
    with running(run, stream) as finish:
        report = finish()
    (warning,) = report.warnings
    assert "`burstline stats` will not see this run" in warning


@pytest.mark.parametrize("at", ["start", "swap"])
def test_a_run_that_finds_no_room_goes_on_and_says_so(tmp_path: Path, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: StatsFile, size: int) -> Any:
        raise OSError(28, "No space left on device")

    a = bl.Counter("a")
    stream = Stream(tmp_path)
    run = FileRun(stages("a", a=a), stream.path, None, publisher=Publisher("app.py", "stream", 0.001, 1))
    if at == "start":
        monkeypatch.setattr(StatsFile, "piece", full)
    with running(run, stream) as finish:
        until(lambda: a.value)
        monkeypatch.setattr(StatsFile, "piece", full)
        run.swap(stages("aa", a=a))
        before = a.value
        until(lambda: a.value > before)
        found = [RunFile(path).read() for path in Path(os.environ["BURSTLINE_STATS"]).glob("*.stats")]
        report = finish()
    assert [balanced(reading.workers[0]) for reading in found] == ([] if at == "start" else [True])
    (warning,) = report.warnings
    assert report.balanced and "No space left on device" in warning


# ---- the command ----


@contextmanager
def started(tmp_path: Path, *options: str, source: str | None = None) -> Iterator[subprocess.Popen[str]]:
    app = tmp_path / "app.py"
    app.write_text(APP)
    stream = None if source else Stream(tmp_path)
    words = ["run", str(app), stream.path if stream else str(source), "--json", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    process = subprocess.Popen(
        [sys.executable, "-m", "burstline", *words],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        if stream:
            os.close(os.open(stream.path, os.O_RDONLY | os.O_NONBLOCK))  # for a writer that still waits for its reader
            stream.close()


def stats(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, Any, str]:
    code = main(["stats", *options])
    out, err = capsys.readouterr()
    return code, json.loads(out) if "--json" in options and out else out, err


def wait_for(capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    """What the command prints, once the run has begun."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        code, out, _ = stats(capsys, "--json", *options)
        if code == 0 and out["received"]["packets"]:
            return out
        time.sleep(0.05)
    raise AssertionError("it does not begin")


@contextmanager
def watching(interval: str) -> Iterator[subprocess.Popen[str]]:
    """`burstline stats --watch` of the only run, beside it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [sys.executable, "-m", "burstline", "stats", "--watch", interval, "--json"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def watched(run: subprocess.Popen[str], interval: str, count: int) -> tuple[list[Any], str, Any]:
    """What the watch printed until the run ended, which it was told to after so many lines; and the run's report."""
    with watching(interval) as watch:
        assert watch.stdout is not None
        lines = [watch.stdout.readline() for _ in range(count)]
        run.send_signal(signal.SIGTERM)
        out, err = watch.communicate(timeout=300)
        assert watch.returncode == 0, err
        report = json.loads(run.communicate(timeout=300)[0])
    return [json.loads(line) for line in [*lines, *out.splitlines()]], err, report


def is_stopped(process: subprocess.Popen[str]) -> bool:
    """All its threads, by proc_pid_stat(5)."""
    states = [path.read_text().rpartition(") ")[2][0] for path in Path(f"/proc/{process.pid}/task").glob("*/stat")]
    return set(states) == {"T"}


def test_another_process_is_read_while_it_runs_is_stopped_and_is_killed(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = stats(capsys)
    assert code == 1 and "no pipeline is running" in err
    with started(tmp_path, "--workers", "2") as process:
        wait_for(capsys, "app")
        _, found, _ = stats(capsys, "app", "--workers", "--json")
        assert found["pid"] == process.pid
        assert [c["name"] for c in found["counters"]] == ["hits", "octets"]
        assert found["received"]["packets"] == found["counters"][0]["value"]
        assert found["received"]["bytes"] == found["counters"][1]["value"]
        left = found["consumed"]["packets"] + found["sent"]["packets"] + found["drops"]["odd"]["packets"]
        assert found["received"]["packets"] == left
        for key in ("packets", "bytes"):
            assert found["received"][key] == sum(w["received"][key] for w in found["workers"])
        assert found["received"]["pps"] > 0 and found["counters"][0]["rate"] > 0

        os.kill(process.pid, signal.SIGSTOP)
        until(lambda: is_stopped(process))
        _, stopped, _ = stats(capsys, str(process.pid), "--json")
        assert stopped["received"]["pps"] == 0, "nothing moves, and it is read all the same"
        assert stopped["received"]["packets"] >= found["received"]["packets"]
        code, text, _ = stats(capsys, "app.py", "--workers")
        rows = [line.split("  ")[0] for line in text.splitlines()]
        assert code == 0 and "dropped: odd" in rows and rows.count("counter: hits") == 3
        code, _, err = stats(capsys, "other")
        assert code == 1 and "no running pipeline is called other" in err and str(process.pid) in err

        process.kill()
        process.wait()
        assert {path.suffix for path in place.iterdir()} == {".stats", ".sock"}
        code, _, err = stats(capsys)
        assert code == 1 and "no pipeline is running" in err
        assert not list(place.iterdir()), "what it left is removed"


def test_watch_goes_on_until_the_run_ends_whose_counts_it_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with started(tmp_path) as process:
        wait_for(capsys)
        shown, err, report = watched(process, "0.2", 3)
    assert "has ended" in err
    assert len(shown) > 3
    assert [s["ended"] for s in shown] == [*[False] * (len(shown) - 1), True]
    assert shown[-1]["received"]["packets"] == report["packets_in"]
    assert shown[-1]["drops"]["odd"]["packets"] == report["drops"]["odd"]["packets"]


def test_nothing_is_published_where_the_configuration_says_so(tmp_path: Path, place: Path) -> None:
    (tmp_path / "burstline.toml").write_text("[engine]\nstats_interval = false\n")
    with started(tmp_path, "--duration", "0.5") as process:
        process.communicate()
    assert not place.exists()


def test_a_run_is_called_by_its_process_its_path_or_its_name() -> None:
    directory = {"pid": 12, "app": "examples/router.py:pipeline"}
    for which in ("12", "examples/router.py:pipeline", "router.py:pipeline", "examples/router", "router"):
        assert is_meant(which, directory)
    assert not is_meant("examples", directory) and not is_meant("1", directory)


def test_a_file_of_another_layout_or_of_something_else_is_refused(place: Path) -> None:
    file = StatsFile()
    try:
        file._head.set_i64(8, 99)
        with pytest.raises(BurstlineError, match=f"has layout 99, not {LAYOUT}"):
            RunFile(file.path)
    finally:
        file.close()
    (place / "x.stats").write_text("hello")
    with pytest.raises(BurstlineError, match="holds no statistics"):
        RunFile(place / "x.stats")


def test_a_file_takes_no_more_room_however_often_directories_of_other_sizes_are_published(place: Path) -> None:
    """A run goes on for weeks, and publishes ten times a second."""
    file, sizes = StatsFile(), []
    try:
        for k in range(3000):
            file.publish({"text": "x" * PAGE * (1 + k % 7 if k % 300 > 250 else 1 + k % 2)})
            sizes.append(file.path.stat().st_size)
    finally:
        file.close()
    assert sizes[-1] == sizes[600]


def test_no_run_is_watched_in_no_time(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = stats(capsys, "--watch", "0")
    assert code == 2 and "no time to wait" in err


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")
def test_live_ports_are_read_while_they_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = "dpdk:net_null0,size=64"
    with started(tmp_path, "--no-huge", "--out", port, source=port) as process:
        wait_for(capsys)
        shown, _, report = watched(process, "0.3", 3)
    assert len(shown) > 3
    for each in shown:
        left = each["sent"]["packets"] + each["consumed"]["packets"] + sum(d["packets"] for d in each["drops"].values())
        assert each["received"]["packets"] == left == each["counters"][0]["value"]
    counts = [each["received"]["packets"] for each in shown]
    assert counts == sorted(counts) and counts[0] < counts[-1] == report["packets_in"]
    assert shown[-1]["sent"]["packets"] == report["packets_out"]


def test_packets_that_stages_make_have_a_row_where_there_are_any() -> None:
    about = {"pid": 1, "app": "app.py", "source": "gen", "started": 0.0, "buffers": []}

    def reading(clock: float, made: int) -> Reading:
        return Reading(about, True, [WorkerCounts(0, clock, received=Count(10 * made, 0), made=made)], {})

    some, none = Interval(reading(1, 5), reading(3, 25)), Interval(reading(1, 0), reading(3, 0))
    assert [(row.name, row.count, row.rate) for row in some.lines([0])][3] == ("made by stages", 25, 10.0)
    assert some.as_json(False)["made"] == {"packets": 25, "pps": 10.0}
    assert some.as_json(False)["drops"] == {}
    assert len(none.lines([0])) == 3
    assert none.as_json(False)["made"] == {"packets": 0, "pps": 0.0}
