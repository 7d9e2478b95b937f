"""A running pipeline takes other code: no packet is lost, out of order, or handled by two versions; state survives."""

from __future__ import annotations

import gc
import itertools
import os
import struct
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import Interpreted, pcap_of, stage_of
from burstline.compiler.errors import CompileError
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import CAPACITY, FileRun
from burstline.engine.program import prepare
from burstline.engine.report import Report
from burstline.errors import UsageError
from burstline.native import build
from burstline.ports.capture_reader import read_capture
from capture_files import pcap_header, record

FLOWS = 8
ROUNDS = 512  # packets of each flow in a block; its sequence numbers start again with the next block


class Flow(bl.Record):
    next: bl.u32
    packets: bl.u64


class Other(bl.Record):
    next: bl.u64


def udp(flow: int, sequence: int) -> bytes:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 36, 0, 0, 64, 17, 0, bytes((10, 0, 0, flow)), bytes((10, 0, 1, 1)))
    return bytes(12) + b"\x08\x00" + ip + struct.pack("!HHHHQ", 1000 + flow, 9, 16, 0, sequence)


BLOCK = b"".join(record("<", 1, 0, udp(k % FLOWS, k // FLOWS)) for k in range(FLOWS * ROUNDS))


class Stream:
    """A FIFO that gives packets for as long as somebody reads, or `only` as many as it is told."""

    def __init__(self, folder: Path, only: int | None = None) -> None:
        self.path = str(folder / "stream.pcap")
        os.mkfifo(self.path)
        self._end = threading.Event()
        self._more = threading.Semaphore(0)
        self._only = only
        self._thread = threading.Thread(target=self._write)
        self._thread.start()

    def _write(self) -> None:
        try:
            with open(self.path, "wb", buffering=0) as to:
                to.write(pcap_header("<"))
                if self._only is None:
                    while not self._end.is_set():
                        to.write(BLOCK)
                while self._only is not None and not self._end.is_set():
                    if self._more.acquire(timeout=0.05):
                        to.write(BLOCK[: self._only * (len(BLOCK) // FLOWS // ROUNDS)])
        except BrokenPipeError:
            pass

    def some(self) -> None:
        self._more.release()

    def close(self) -> None:
        self._end.set()
        self._thread.join()


@contextmanager
def running(run: Any, stream: Stream | None = None) -> Iterator[Callable[[], Report]]:
    """The run in a thread; call the value to stop it and have its report."""
    failures: list[BaseException] = []

    def body() -> None:
        try:
            run.run()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=body)
    thread.start()

    def finish() -> Report:
        if hasattr(run, "stop"):
            run.stop()
        if stream:
            stream.close()
        thread.join()
        if failures:
            raise failures[0]
        report: Report = run.report
        return report

    try:
        until(lambda: run.is_running or not thread.is_alive())
        yield finish
    finally:
        if thread.is_alive():
            finish()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def compiled_before(folder: Path, *pipelines: bl.Pipeline, out: str | None = None, workers: int = 1) -> None:
    """Have the pipelines in the cache, so that a swap takes a moment and a stream does not grow meanwhile."""
    source = folder / "one.pcap"
    source.write_bytes(pcap_of([udp(1, 0)]))
    for pipeline in pipelines:
        FileRun(pipeline, str(source), str(folder / out) if out else None, workers=workers).run()


def version(number: int, **state: Any) -> bl.Pipeline:
    """Two stages that both know their version; the first one drops each seventh packet for a reason of its own."""
    return bl.Pipeline(
        stage_of(
            "def stamp(pkt):\n"
            "    seen.add()\n"
            "    flow = flows[pkt]\n"
            "    sequence = pkt.payload.be32(4)\n"
            "    if sequence != flow.next:\n"
            "        disorder.add()\n"
            f"    flow.next = (sequence + 1) % {ROUNDS}\n"
            "    flow.packets += 1\n"
            f"    pkt.eth.src = {number}\n"
            "    if sequence % 7 == 0:\n"
            "        drops.add()\n"
            f"        return bl.drop('seventh in version {number}')",
            **state,
        ),
        stage_of(
            f"def check(pkt):\n    if pkt.eth.src != {number}:\n        mixed.add()\n    count_{number}.add()",
            **state,
        ),
    )


def some_state() -> dict[str, Any]:
    counters = {name: bl.Counter(name) for name in ("seen", "disorder", "drops", "mixed", "count_1", "count_2")}
    return {"flows": bl.FlowTable(Flow, capacity=100), **counters}


def same_state_anew(state: dict[str, Any]) -> dict[str, Any]:
    """What a file that is loaded again defines: other objects of the same names."""
    return {n: bl.FlowTable(Flow, 100) if n == "flows" else bl.Counter(n) for n in state}


# ---- under load ----


@pytest.mark.parametrize(("workers", "swaps"), [(1, 1000), (3, 200)])
def test_a_thousand_swaps_under_load_lose_reorder_and_mix_nothing(tmp_path: Path, workers: int, swaps: int) -> None:
    states = [some_state()]
    states.append({**same_state_anew(states[0])})
    versions = [version(1 + k, **state) for k, state in enumerate(states)]
    stream = Stream(tmp_path)
    run = FileRun(versions[0], stream.path, None, workers=workers)
    with running(run, stream) as finish:
        for k in range(swaps):
            run.swap(versions[1 - k % 2])
        report = finish()
    assert len(report.swaps) == swaps
    assert report.balanced
    state = states[swaps % 2]
    received = report.received.packets
    assert received > swaps
    assert state["disorder"].value == state["mixed"].value == 0
    assert state["seen"].value == received == sum(state["flows"].to_numpy()["packets"])
    assert len(state["flows"]) == FLOWS
    dropped = {name: count.packets for name, count in report.drops.items()}
    assert set(dropped) == {"seventh in version 1", "seventh in version 2"}
    assert sum(dropped.values()) == state["drops"].value
    # A counter that only the other version names is not carried along.
    assert report.consumed.packets == received - state["drops"].value


@pytest.mark.parametrize("workers", [1, 3])
def test_all_workers_go_over_at_the_same_packet_of_a_file(tmp_path: Path, workers: int) -> None:
    stamps = [
        bl.Pipeline(stage_of(f"def stamp(pkt):\n    pkt.eth.src = {k}\n    pkt.ipv4.ttl = {k}")) for k in range(4)
    ]
    compiled_before(tmp_path, *stamps, out="before.pcap", workers=workers)
    stream, out = Stream(tmp_path), tmp_path / "out.pcap"
    run = FileRun(stamps[0], stream.path, str(out), workers=workers)
    with running(run, stream) as finish:
        if workers == 1:
            until(lambda: run.report.first_packet_seconds)  # else swap at once: some workers have begun, some have not
        for pipeline in stamps[1:]:
            before = out.stat().st_size if out.exists() else 0
            run.swap(pipeline)
            until(lambda: out.stat().st_size > before)  # noqa: B023
        report = finish()
    with open(out, "rb") as file:
        found = [(p.data[11], p.data[22], p.data[49]) for p in read_capture(file, "out.pcap")]
    assert len(found) == report.received.packets == report.sent.packets
    assert [s for s, *_ in found] == sorted(s for s, *_ in found)
    seen = {(s, t) for s, t, _ in found}
    assert seen - {(0, 0)} == {(k, k) for k in (1, 2, 3)}, "both headers are of one version"
    assert workers > 1 or (0, 0) in seen
    assert [q for *_, q in found] == [k // FLOWS % 256 for k in range(len(found))], "in the order of the source"


def test_what_a_version_made_is_written_though_the_next_one_makes_nothing(tmp_path: Path) -> None:
    """Chunks that the one has run wait to be written by the other; a buffer that is not back is an error of the run."""
    workers = 3
    plain = [bl.Pipeline(stage_of("def stamp(pkt):\n    pkt.eth.src = 1")) for _ in range(3)]
    twice = [bl.Pipeline(stage_of("def twice(pkt):\n    pkt.clone()\n    pkt.eth.src = 2")) for _ in range(3)]
    compiled_before(tmp_path, twice[0], out="before.pcap", workers=workers)
    prepare(
        plain[0], mode="file", capacity=CAPACITY, workers=workers, dispatch="auto",
        source="pcap", sink="pcap", makes=True,
    )  # fmt: skip
    stream, out = Stream(tmp_path), tmp_path / "out.pcap"
    run = FileRun(twice[1], stream.path, str(out), workers=workers)
    with running(run, stream) as finish:
        for pipeline in (plain[1], twice[2], plain[2]):
            before = out.stat().st_size if out.exists() else 0
            run.swap(pipeline)
            until(lambda: out.stat().st_size > before + len(BLOCK))  # noqa: B023
        report = finish()
    with open(out, "rb") as file:
        found = [p.data[11] for p in read_capture(file, "out.pcap")]
    assert report.balanced
    assert report.made.packets == found.count(0) == found.count(2) > 0
    assert found.count(1) + found.count(2) == report.received.packets
    assert all(after == 0 for mark, after in itertools.pairwise(found) if mark == 2), "behind its packet"


def test_a_swap_needs_no_packet(tmp_path: Path) -> None:
    stream = Stream(tmp_path, only=10)
    seen = bl.Counter("seen")
    sources = (f"def judge(pkt):\n    seen.add()\n    return bl.drop('{w}')" for w in ("one", "two"))
    first, second = (bl.Pipeline(stage_of(source, seen=seen)) for source in sources)
    run = FileRun(first, stream.path, None)
    with running(run, stream) as finish:
        stream.some()
        until(lambda: run.report.first_packet_seconds)
        run.swap(second)  # nothing comes meanwhile
        stream.some()
        run.swap(first)
        until(lambda: seen.value == 20)
        report = finish()
    assert {name: c.packets for name, c in report.drops.items()} in ({"one": 10, "two": 10}, {"one": 20})
    assert report.received.packets == 20


def test_what_is_compiled_again_is_what_runs_by_then(tmp_path: Path) -> None:
    """A view measures while the application is loaded again: the new pipeline stays."""
    stream = Stream(tmp_path, only=10)
    first, second = (bl.Pipeline(stage_of(f"def judge(pkt):\n    return bl.drop('{w}')")) for w in ("one", "two"))
    run = FileRun(first, stream.path, None)
    with running(run, stream) as finish:
        stream.some()
        until(lambda: run.report.first_packet_seconds)
        versions, begun, go_on = run._versions, threading.Event(), threading.Event()
        assert versions is not None
        make = versions._prepare

        def slowly(pipeline: bl.Pipeline) -> Any:
            if pipeline is second:
                begun.set()
                go_on.wait()
            return make(pipeline)

        versions._prepare = slowly
        loaded = threading.Thread(target=run.swap, args=(second,))
        measured = threading.Thread(target=versions.compile_again)
        loaded.start()
        begun.wait()
        measured.start()
        time.sleep(0.05)  # it waits by then
        go_on.set()
        loaded.join()
        measured.join()
        assert run.running is second
        report = finish()
    assert report.balanced and len(report.swaps) == 1


def test_a_mapped_file_takes_a_pipeline_that_writes(tmp_path: Path) -> None:
    source, out = tmp_path / "in.pcap", tmp_path / "out.pcap"
    source.write_bytes(pcap_of([udp(1, k) for k in range(40_000)]))
    before = source.read_bytes()
    slow = bl.Pipeline(
        stage_of(
            "def slow(pkt):\n"
            "    n = 0\n"
            "    for k in range(20_000):\n"
            "        n = (n * 31 + pkt.length + k) & 0xFFFF\n"
            "    work.add(n)",
            work=bl.Counter("work"),
        )
    )
    writing = bl.Pipeline(stage_of("def write(pkt):\n    pkt.eth.src = 0x0A0B0C0D0E0F"))
    compiled_before(tmp_path, writing, out="before.pcap")
    run = FileRun(slow, str(source), str(out))
    with running(run) as finish:
        until(lambda: run.report.first_packet_seconds)
        assert run.swap(writing).carried.kept == ()
        until(lambda: not run.is_running)
        report = finish()
    assert report.received.packets == report.sent.packets == 40_000
    with open(out, "rb") as file:
        written = [p.data[6:12] == bytes(range(10, 16)) for p in read_capture(file, "out.pcap")]
    assert written == sorted(written)
    assert set(written) == {False, True}
    assert source.read_bytes() == before


# ---- what lives on, and what does not ----


def test_old_code_is_freed(tmp_path: Path) -> None:
    stream = Stream(tmp_path)
    one, two = (version(k, **some_state()) for k in (1, 2))
    run = FileRun(one, stream.path, None, workers=2)
    with running(run, stream) as finish:
        assert run._versions is not None
        old = [weakref.ref(instance._library) for instance in run._versions._instances]
        maps = []
        for k in range(60):
            run.swap((two, one)[k % 2])
            if k >= 20:
                maps.append(len(Path("/proc/self/maps").read_text().splitlines()))
        gc.collect()
        assert [reference() for reference in old] == [None, None]
        assert max(maps) - min(maps) < 30, "their memory goes back"
        finish()


def test_state_of_the_same_name_kind_and_record_survives(tmp_path: Path) -> None:
    def pipeline(
        record: type[bl.Record], blocked: bl.PrefixSet, key: tuple[str, ...] | None = None
    ) -> tuple[bl.Pipeline, Any, Any]:
        flows, hits = bl.FlowTable(record, capacity=100, key=key), bl.Counter("hits")
        made = bl.Pipeline(
            stage_of(
                "def look(pkt):\n    flows[pkt].next += 1\n    hits.add()\n"
                "    if pkt.ipv4.src in blocked:\n        return bl.drop('blocked')",
                flows=flows, hits=hits, blocked=blocked,
            )
        )  # fmt: skip
        return made, flows, hits

    none, all_ = bl.PrefixSet(), bl.PrefixSet(["10.0.0.0/8"])
    first, *_ = pipeline(Flow, none)
    second, flows, hits = pipeline(Flow, all_)
    third, others, hits_too = pipeline(Other, none)
    fourth, by_source, last_hits = pipeline(Other, none, ("ipv4.src",))
    stream = Stream(tmp_path, only=100)
    run = FileRun(first, stream.path, None)
    with running(run, stream) as finish:
        stream.some()
        until(lambda: run.report.first_packet_seconds)
        done = run.swap(second)
        assert (done.carried.kept, done.carried.begun_anew) == (("flows", "hits"), ())
        assert hits.value == sum(flows.to_numpy()["next"]) == 100
        stream.some()
        until(lambda: hits.value == 200)
        done = run.swap(third)
        assert (done.carried.kept, done.carried.begun_anew) == (("flows", "hits"), ())
        assert sum(others.to_numpy()["next"]) == 200, "another layout: field by field, before a packet comes"
        stream.some()
        until(lambda: hits_too.value == 300)
        assert sum(others.to_numpy()["next"]) == 300
        done = run.swap(fourth)
        assert (done.carried.kept, done.carried.begun_anew) == (("hits", "blocked"), ("flows",))
        assert len(by_source) == 0, "other flows"
        stream.some()
        until(lambda: last_hits.value == 400)
        report = finish()
    assert sum(by_source.to_numpy()["next"]) == 100
    assert report.drops["blocked"].packets == 100


def test_digests_go_to_the_handler_of_the_pipeline_that_runs(tmp_path: Path) -> None:
    got: dict[str, list[int]] = {"old": [], "new": [], "other": []}

    def pipeline(name: str, record: type[bl.Record]) -> bl.Pipeline:
        digest = bl.Digest(record, capacity=1024)
        digest.batches(lambda batch: got[name].extend(batch["next"].tolist()))
        return bl.Pipeline(stage_of("def tell(pkt):\n    digest.new().next = pkt.payload.be32(4)", digest=digest))

    stream = Stream(tmp_path)
    run = FileRun(pipeline("old", Flow), stream.path, None)
    with running(run, stream) as finish:
        until(lambda: len(got["old"]) > 5000)
        run.swap(pipeline("new", Flow))
        until(lambda: len(got["new"]) > 5000)
        run.swap(pipeline("other", Other))
        new = len(got["new"])
        until(lambda: len(got["other"]) > 5000)
        assert len(got["new"]) == new
        report = finish()
    everything = got["old"] + got["new"] + got["other"]
    assert len(everything) == report.received.packets
    assert everything == [k // FLOWS % ROUNDS for k in range(len(everything))]
    assert report.warnings == []


def test_what_does_not_compile_leaves_the_old_pipeline_running(tmp_path: Path) -> None:
    hits = bl.Counter("hits")
    good = bl.Pipeline(stage_of("def look(pkt):\n    hits.add()\n    return bl.drop('old')", hits=hits))
    bad = bl.Pipeline(stage_of("def look(pkt):\n    hits.add()\n    return pkt.ipv5", hits=hits))
    stream = Stream(tmp_path)
    run = FileRun(good, stream.path, None)
    with running(run, stream) as finish:
        with pytest.raises(CompileError, match="'ipv5'"):
            run.swap(bad)
        before = hits.value
        until(lambda: hits.value > before)
        assert run.pipeline is good
        report = finish()
    assert report.swaps == []
    assert hits.value == report.drops["old"].packets == report.received.packets


def test_one_stage_is_replaced_and_the_rest_is_shared(tmp_path: Path) -> None:
    hits = bl.Counter("hits")
    pipeline = bl.Pipeline(
        stage_of("def count(pkt):\n    hits.add()", hits=hits), stage_of("def judge(pkt):\n    return bl.DROP")
    )
    ended: list[Report] = []
    pipeline.at_end(ended.append)
    stream = Stream(tmp_path)
    run = FileRun(pipeline, stream.path, None)
    with running(run, stream) as finish:
        run.swap_stage("judge", stage_of("def judge(pkt):\n    return bl.CONSUME").function)
        report = finish()
    assert run.pipeline.stages[0] is pipeline.stages[0]
    assert hits.value == report.received.packets
    assert report.consumed.packets > 0
    run.pipeline.finish(report)
    assert ended == [report]
    with pytest.raises(UsageError, match="no stage 'jugde' to replace"):
        pipeline.replace("jugde", pipeline.stages[0])


def test_there_is_nothing_to_swap_before_and_after_a_run(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of([udp(1, 1)]))
    pipeline = bl.Pipeline(stage_of("def look(pkt):\n    return bl.DROP"))
    for run in (FileRun(pipeline, str(source), None), interpreted(pipeline, str(source))):
        with pytest.raises(UsageError, match="not running"):
            run.swap(pipeline)
        run.run()
        with pytest.raises(UsageError, match="not running"):
            run.swap(pipeline)


def test_a_handler_cannot_wait_for_workers_that_wait_for_it(tmp_path: Path) -> None:
    digest = bl.Digest(Other, capacity=64)
    pipeline = bl.Pipeline(stage_of("def tell(pkt):\n    digest.new().next = 1", digest=digest))
    threads: set[str] = set()

    @digest.batches
    def swap(batch: Any) -> None:
        with pytest.raises(UsageError, match="handler cannot swap"):
            run.swap(pipeline)
        threads.add(threading.current_thread().name.partition(" ")[0])

    stream = Stream(tmp_path)
    run = FileRun(pipeline, stream.path, None)
    with running(run, stream) as finish:
        until(lambda: len(threads) == 2)  # a worker's, and that of the run
        finish()


# ---- interpreted ----


class interpreted:
    """A run of the interpreter with the face of a `FileRun`."""

    def __init__(self, pipeline: bl.Pipeline, path: str) -> None:
        self.interpreter = Interpreter(pipeline, path)
        self.report, self.swap = self.interpreter.report, self.interpreter.swap
        self.path = path

    @property
    def is_running(self) -> bool:
        return self.interpreter.is_running

    def run(self) -> Report:
        return self.interpreter.run_file(self.path, None, None, None)


def test_interpreted_a_pipeline_is_swapped_between_two_packets(tmp_path: Path) -> None:
    states = [some_state()]
    states.append(same_state_anew(states[0]))
    versions = [version(1 + k, **state) for k, state in enumerate(states)]
    stream = Stream(tmp_path)
    run = interpreted(versions[0], stream.path)
    with running(run, stream) as finish:
        for k in range(21):
            done = run.swap(versions[1 - k % 2])
            assert set(done.carried.kept) == {"seen", "flows", "disorder", "drops", "mixed"}
        report = finish()
    state = states[1]
    assert len(report.swaps) == 21
    assert report.balanced
    assert state["disorder"].value == state["mixed"].value == 0
    assert state["seen"].value == report.received.packets == sum(state["flows"].to_numpy()["packets"])
    assert report.dropped.packets == state["drops"].value


# ---- what makes it fast ----


def test_only_what_changed_is_lowered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lowered: list[str] = []
    lower = build.lower

    def noted(function: Any, *rest: Any) -> Any:
        lowered.append(function.__name__)
        return lower(function, *rest)

    monkeypatch.setattr(build, "lower", noted)
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of([udp(1, k) for k in range(10)]))

    def outcome(first: str, second: str, helper: str) -> dict[str, int]:
        lowered.clear()
        hits = bl.Counter("hits")
        help_ = stage_of(f"def twice(n):\n    return {helper}").function
        pipeline = bl.Pipeline(
            stage_of(f"def unlike_any(pkt):\n    {first}", hits=hits),
            stage_of(
                f"def unlike_another(pkt):\n    hits.add(twice(pkt.length))\n    {second}", hits=hits, twice=help_
            ),
        )
        report = FileRun(pipeline, str(source), None).run()
        assert report.balanced
        return {name: count.packets for name, count in report.drops.items()} | {"hits": hits.value}

    size = len(udp(1, 1))
    last = "return bl.drop('end')"
    assert outcome("hits.add(len(pkt.payload))", last, "n + n") == {"end": 10, "hits": 10 * (8 + 2 * size)}
    assert {"unlike_any", "unlike_another", "twice"} <= set(lowered)
    # Reasons before the second stage's own move its number, which its code does not know.
    early = "return bl.drop('odd') if pkt.payload.be32(4) & 1 else None"
    assert outcome(early, last, "n + n") == {"odd": 5, "end": 5, "hits": 10 * size}
    assert lowered == ["unlike_any"]
    assert outcome(early, last, "3 * n") == {"odd": 5, "end": 5, "hits": 15 * size}
    assert sorted(lowered) == ["twice", "unlike_another"]


def test_a_tuple_of_verdicts_has_its_reasons(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of([udp(1, k) for k in range(9)]))
    verdicts = (bl.drop("zero"), bl.PASS, bl.drop("ä two"))
    pipeline = bl.Pipeline(stage_of("def pick(pkt):\n    return VERDICTS[pkt.payload.be32(4) % 3]", VERDICTS=verdicts))
    for run in (FileRun(pipeline, str(source), None), Interpreted(pipeline, source, None)):
        report = run.run()
        assert {n: c.packets for n, c in report.drops.items()} == {"zero": 3, "ä two": 3}
        assert report.consumed.packets == 3
