"""`burstline archive`: captures in processes and on a cluster; lost workers, restarts, damage."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

import burstline as bl
from both_modes import stage_of
from burstline.archive.archive import ArchiveRun
from burstline.archive.captures import Capture, find_captures
from burstline.archive.ledger import Ledger
from burstline.archive.pool import TRIES, Worker
from burstline.archive.tables import places_of
from burstline.archive.task import plain
from burstline.cli.main import main
from burstline.engine.app import Application
from burstline.engine.config import Config
from burstline.engine.offline import FileRun
from burstline.errors import BurstlineError, UsageError

APP = """
import burstline as bl
from limits import LONG

class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64

flows = bl.FlowTable(Flow, 1000, merge={"packets": "add", "bytes": "add"})
long = bl.Counter("long")

@bl.stage
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
    if pkt.length > LONG:
        long.add()
        return bl.drop("long")

pipeline = bl.Pipeline(count)

@pipeline.at_end
def show(report):
    print("flows", len(flows), "long", long.value)
"""
CAPTURES, PACKETS = 6, 400


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("archive")
    (place / "app.py").write_text(APP)
    (place / "limits.py").write_text("LONG = 1000\n")
    (place / "days").mkdir()
    for k in range(CAPTURES):
        suffix = ("pcap", "pcapng", "pcap.gz")[k % 3]
        written = place / "days" / f"{k}.{suffix.removesuffix('.gz')}"
        assert main(["gen", str(written), "--packets", str(PACKETS + k), "--flows", "50", "--seed", str(k % 2)]) == 0
        if suffix.endswith(".gz"):
            import gzip

            written.with_name(f"{k}.{suffix}").write_bytes(gzip.compress(written.read_bytes()))
            written.unlink()
    return place


class Told(ArchiveRun):
    """Remembers what it was told."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.lines: list[str] = []
        self.finished: list[str] = []
        sys.modules.pop("limits", None)  # as in a process of its own
        captures = find_captures(options.pop("captures", None) or [str(folder / "days")])
        super().__init__(Application(str(folder / "app.py")), captures, Config(), say=self.lines.append, **options)

    def done(self, number: int, packets: int) -> None:
        self.finished.append(Path(self.captures[number].path).name)
        super().done(number, packets)


def result(run: ArchiveRun) -> tuple[Any, ...]:
    report = run.fold.report
    table = next(state for name, state in run.fold.states.items() if name.endswith(":flows"))
    rows = sorted(map(repr, table.to_numpy().tolist()))  # type: ignore[attr-defined]
    return report.received, report.drops, rows, run.fold.states["app:long"].value  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def expected(folder: Path) -> tuple[Any, ...]:
    """By one run after the other, added up by hand."""
    flows: dict[Any, list[int]] = {}
    received, long, drops = None, 0, None
    for capture in find_captures([str(folder / "days")]):
        pipeline = Application(str(folder / "app.py")).load()
        run = FileRun(pipeline, capture.path, None)
        report = run.run()
        table, counter = pipeline.state
        received = report.received if received is None else received + report.received
        drops = report.drops["long"] if drops is None else drops + report.drops["long"]
        long += counter.value  # type: ignore[attr-defined]
        for *key, packets, size in table.to_numpy().tolist():  # type: ignore[attr-defined]
            row = flows.setdefault(repr(key), [*key, 0, 0])
            row[-2] += packets
            row[-1] += size
    return received, {"long": drops}, sorted(repr(tuple(row)) for row in flows.values()), long


def test_processes_make_what_one_run_after_the_other_does(folder: Path, expected: tuple[Any, ...]) -> None:
    run = Told(folder, jobs=2)
    report = run.run()
    assert result(run) == expected
    assert report.balanced and not run.failures
    assert run.progress.line().startswith("[####################] 100%  6 of 6 captures  2,415 packets")


class Doomed(Worker):
    """Is killed when it is to do a capture of `deadly`, by number; so often."""

    deadly: ClassVar[dict[int, int]] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "number" and self.deadly.get(value, 0):
            self.deadly[value] -= 1
            assert self.process.pid is not None
            os.kill(self.process.pid, signal.SIGKILL)


def test_the_captures_of_a_worker_that_is_killed_are_done_again(
    folder: Path, expected: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstline.archive.pool.Worker", Doomed)
    monkeypatch.setattr(Doomed, "deadly", {2: 1, 4: TRIES - 1})
    run = Told(folder, jobs=2)
    run.run()
    again = [line for line in run.lines if "worker was lost (killed by SIGKILL), and it is done again" in line]
    assert len(again) == TRIES
    assert result(run) == expected and not run.failures


def test_a_capture_that_always_kills_its_worker_is_given_up_and_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("burstline.archive.pool.Worker", Doomed)
    monkeypatch.setattr(Doomed, "deadly", {1: TRIES})
    run = Told(folder, jobs=1, captures=[str(folder / "days/0.pcap"), str(folder / "days/1.pcapng")])
    report = run.run()
    assert list(run.failures) == [str(folder / "days/1.pcapng")] and "lost every time" in str(run.failures)
    assert report.received.packets == PACKETS


def test_an_archive_that_was_stopped_goes_on(folder: Path, tmp_path: Path, expected: tuple[Any, ...]) -> None:
    class Stopped(Told):
        def done(self, number: int, packets: int) -> None:
            super().done(number, packets)
            if len(self.finished) == 2:
                raise KeyboardInterrupt

    state = tmp_path / "state"
    first = Stopped(folder, jobs=1, state=state)
    with pytest.raises(KeyboardInterrupt):
        first.run()
    (state / f"{'0' * 32}.part").write_bytes(b"of another pipeline")
    (state / f".{'0' * 32}.part.abc.new").write_bytes(b"half a result")
    second = Told(folder, jobs=1, state=state)
    second.run()
    assert second.resumed == 2 and len(second.finished) == CAPTURES - 2
    assert {*first.finished} | {*second.finished} == {Path(c.path).name for c in second.captures}
    assert result(second) == expected
    assert len(list(state.iterdir())) == CAPTURES  # what was of no use is gone
    # Results that are damaged are done again, and so is a capture that was changed.
    other, cut, flipped, *_ = sorted(state.iterdir())
    other.write_bytes(b"PK damaged")
    cut.write_bytes(cut.read_bytes()[:-9])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    third = Told(folder, jobs=1, state=state)
    third.run()
    assert len(third.finished) == 3 and result(third) == expected
    changed = folder / "days/0.pcap"
    os.utime(changed, ns=(0, changed.stat().st_mtime_ns + 1))
    fourth = Told(folder, jobs=1, state=state)
    fourth.run()
    assert fourth.finished == ["0.pcap"] and result(fourth) == expected


def test_a_worker_has_the_next_capture_before_a_result_is_put_together_and_keeps_to_its_core(folder: Path) -> None:
    seen: list[tuple[Any, set[int], int]] = []

    class Watched(Told):
        def done(self, number: int, packets: int) -> None:
            (worker,) = self.pool.workers  # type: ignore[union-attr]
            seen.append((worker.number, os.sched_getaffinity(worker.process.pid or 0), worker.core))
            super().done(number, packets)

    run = Watched(folder, jobs=1)
    run.run()
    assert [number is None for number, _, _ in seen] == [False] * (CAPTURES - 1) + [True]
    assert all(cores == {core} for _, cores, core in seen)


def test_a_result_that_is_gone_is_told(tmp_path: Path) -> None:
    ledger, capture = Ledger(tmp_path, "one"), Capture("0.pcap", 1, 2)
    assert not ledger.has(capture)
    with pytest.raises(BurstlineError, match=r"the result of 0\.pcap in .* is damaged or gone"):
        ledger.read(capture)


def test_two_archives_do_not_work_in_one_directory(tmp_path: Path) -> None:
    capture = Capture("0.pcap", 1, 2)
    mine = tmp_path / "download.part"
    mine.write_bytes(b"not of an archive")
    with Ledger(tmp_path, "one") as first:
        first.place(capture).write_bytes(b"a result")
        with pytest.raises(BurstlineError, match="another archive is at work"), Ledger(tmp_path, "other"):
            pass
    with Ledger(tmp_path, "other") as second:
        second.clean([capture])
    assert list(tmp_path.iterdir()) == [mine]


def test_an_archive_that_is_stopped_before_it_begins_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("burstline.archive.archive.task_of", interrupted)
    assert main(["archive", str(folder / "app.py"), str(folder / "days")]) == 130
    assert f"0 of {CAPTURES} captures were done" in capsys.readouterr().err


def test_another_pipeline_does_all_again(folder: Path, tmp_path: Path) -> None:
    captures = [str(folder / "days/0.pcap")]
    Told(folder, jobs=1, state=tmp_path, captures=captures).run()
    limits = folder / "limits.py"
    limits.write_text("LONG = 1001\n")
    try:
        run = Told(folder, jobs=1, state=tmp_path, captures=captures)
        run.run()
        assert len(run.finished) == 1
    finally:
        limits.write_text("LONG = 1000\n")


def test_a_damaged_capture_counts_up_to_there_and_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, broken = folder / "days/0.pcap", tmp_path / "broken.pcap"
    broken.write_bytes(good.read_bytes()[:-7])
    words = ["archive", str(folder / "app.py"), str(good), str(broken), "--jobs", "1", "--json"]
    assert main([*words, "--state", str(tmp_path / "state")]) == 1
    said = capsys.readouterr()
    assert "1 of 2 captures were not done to their end" in said.err and str(broken) in said.err
    report = json.loads(said.out)
    assert report["packets_in"] == 2 * PACKETS - 1
    assert [each["capture"] for each in report["failed"]] == [str(broken)]
    assert len(list((tmp_path / "state").iterdir())) == 1


def test_the_table_becomes_a_parquet_file(
    folder: Path, tmp_path: Path, expected: tuple[Any, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "flows.parquet"
    assert main(["archive", str(folder / "app.py"), str(folder / "days"), "-o", str(out), "--jobs", "2"]) == 0
    table = parquet.read_table(out)
    assert table.num_rows == len(expected[2])
    assert sum(table["packets"].to_pylist()) == sum(PACKETS + k for k in range(CAPTURES))
    assert f"flows {len(expected[2])} long {expected[3]}" in capsys.readouterr().out
    assert [place.name for place in tmp_path.iterdir()] == ["flows.parquet"]


def test_a_dask_cluster_makes_the_same_also_when_its_only_worker_is_lost(
    folder: Path, expected: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(n_workers=1, **options) as cluster:

        class Killing(Told):
            def done(self, number: int, packets: int) -> None:
                super().done(number, packets)
                if len(self.finished) == 2:
                    [nanny] = cluster.workers.values()
                    os.kill(nanny.pid, signal.SIGKILL)

        monkeypatch.chdir(folder)  # where its workers are not
        run = Killing(folder, dask=cluster.scheduler_address, captures=["days"])
        run.run()
    assert result(run) == expected and len(run.finished) == CAPTURES and not run.failures


def test_a_cluster_that_does_not_answer_is_an_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("burstline.archive.cluster.TIMEOUT", 0.2)
    with pytest.raises(BurstlineError, match="no Dask scheduler answers"):
        Told(folder, dask="tcp://127.0.0.1:9").run()


def names(words: Sequence[str | Path]) -> list[str]:
    return [Path(capture.path).name for capture in find_captures(map(str, words))]


def test_captures_are_found_by_name_directory_and_pattern(tmp_path: Path) -> None:
    for name in ("b.pcap", "a.pcapng", "sub/c.pcap.zst", "sub/d.cap.gz", "notes.txt", "odd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert names([tmp_path]) == ["a.pcapng", "b.pcap", "c.pcap.zst", "d.cap.gz"]
    assert names([tmp_path / "odd", tmp_path / "b.pcap", tmp_path]) == [
        "odd",
        "b.pcap",
        "a.pcapng",
        "c.pcap.zst",
        "d.cap.gz",
    ]
    assert names([f"{tmp_path}/*.pcap*", f"{tmp_path}/s*"]) == ["a.pcapng", "b.pcap", "c.pcap.zst", "d.cap.gz"]
    for nothing in (tmp_path / "gone", f"{tmp_path}/*.erf"):
        with pytest.raises(UsageError):
            names([nothing])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no captures in"):
        names([tmp_path / "empty"])


def test_tables_of_one_name_have_files_of_their_own(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow.parquet")

    class Two(bl.Record):
        packets: bl.u32

    tables: list[Any] = [bl.FlowTable(Two, 10, merge="apart") for _ in range(2)]
    count = "def count(pkt):\n    flows[pkt].packets += 1"
    pipeline = bl.Pipeline(*(stage_of(count, flows=table) for table in tables))
    assert [*places_of(pipeline, tmp_path / "out").values()] == tables
    with pytest.raises(UsageError, match="several tables, flows, flows-2, for one file"):
        places_of(pipeline, tmp_path / "flows.parquet")


def test_other_rules_are_another_digest() -> None:
    one, other, same = (vars(bl.RuleSet([{"src": text}])) for text in ("10.0.0.0/8", "10.0.0.0/9", "10.0.0.0/8"))
    assert plain(one["rules"]) == plain(same["rules"]) != plain(other["rules"])


def test_what_differs_between_processes_is_no_part_of_a_digest() -> None:
    assert plain({"a": (1, "x", object())}) == plain({"a": [1, "x", object()]}) == [("a", [1, "x", "object"])]
