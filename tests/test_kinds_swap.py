"""Histograms, meters, sets, maps and sketches go on after a swap where they are alike, and begin anew where not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import function_of, run_both, stage_of
from burstline.cli.main import main
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.packet.parser import LINK_ETHERNET
from test_swap import FLOWS, Stream, compiled_before, running, udp, until

SOURCE = """
def work(pkt):
    key = pkt.udp.sport
    sizes.add(key)
    seen.add(key)
    sums.add(key, 2)
    talkers.add(pkt)
    flows.add(pkt)
    elephants.add(pkt)
    passed.add(limit.allow(pkt))
    count.add()
"""
# Of each kind, some that are alike and one that is not.
MADE: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "sizes": (lambda: bl.Histogram("sizes"), lambda: bl.Histogram("sizes", 0.1)),
    "seen": (lambda: bl.Set(100), lambda: bl.Set(101)),
    "sums": (lambda: bl.Map(100), lambda: bl.Map(50)),
    "talkers": (lambda: bl.CountMin(400), lambda: bl.CountMin(400, conservative=True)),
    "flows": (lambda: bl.HyperLogLog(9), lambda: bl.HyperLogLog(10)),
    "elephants": (lambda: bl.HeavyHitters(), lambda: bl.HeavyHitters(50)),
    "limit": (lambda: bl.Meter(1, 50), lambda: bl.Meter(1, 50, "bytes")),
    "passed": (lambda: bl.Counter("passed"), lambda: bl.Counter("passed")),
    "count": (lambda: bl.Counter("count"), lambda: bl.Counter("count")),
}


def pipeline_of(line: str = "", other: bool = False) -> tuple[bl.Pipeline, dict[str, Any]]:
    state = {name: made[other]() for name, made in MADE.items()}
    return bl.Pipeline(stage_of(f"{SOURCE}    {line}\n", **state)), state


def read(state: dict[str, Any]) -> dict[str, Any]:
    return {
        "sizes": state["sizes"].count,
        "seen": list(state["seen"]),
        "sums": sum(value for _, value in state["sums"].items()),
        "talkers": state["talkers"].total,
        "flows": round(state["flows"].estimate()),
        "limit": state["limit"].allowed + state["limit"].exceeded,
    }


def wanted(packets: int) -> dict[str, Any]:
    return {
        "sizes": packets,
        "seen": [1000 + k for k in range(FLOWS)],
        "sums": 2 * packets,
        "talkers": packets,
        "flows": FLOWS,
        "limit": packets,
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_they_go_on_where_they_are_alike(tmp_path: Path, workers: int) -> None:
    first, _ = pipeline_of()
    second, state = pipeline_of("count.add(0)")
    third, other = pipeline_of(other=True)
    compiled_before(tmp_path, first, second, third, workers=workers)
    stream = Stream(tmp_path)
    run = FileRun(first, stream.path, None, workers=workers)
    with running(run, stream) as finish:
        until(lambda: run.report.first_packet_seconds)
        done = run.swap(second)
        assert (set(done.carried.kept), done.carried.begun_anew) == (set(MADE), ())
        before = state["count"].value
        until(lambda: state["count"].value > before)
        done = run.swap(third)
        assert set(done.carried.begun_anew) == set(MADE) - {"passed", "count"}
        assert read(state) == wanted(state["sizes"].count)
        assert 0 < before < state["sizes"].count
        assert state["limit"].allowed <= 50 * workers, "the bucket is not filled again"
        begun = other["count"].value
        until(lambda: other["count"].value > begun)
        report = finish()
    assert other["count"].value == report.received.packets
    assert read(other) == wanted(report.received.packets - state["sizes"].count)


def test_interpreted_they_go_on_too() -> None:
    first, before = pipeline_of()
    second, state = pipeline_of("count.add(0)")
    third, other = pipeline_of(other=True)
    interpreter = Interpreter(first, "nothing")
    interpreter.begin()
    packets = [interpreter.packet(bytearray(udp(k % FLOWS, k)), 50, 0, 0, LINK_ETHERNET) for k in range(64)]
    for pipeline, of, count in ((first, before, 64), (second, state, 128), (third, other, 64)):
        if pipeline is not first:
            interpreter.swap(pipeline)
        for packet in packets:
            interpreter.verdict(packet)
        assert read(of) == wanted(count)
        assert of is other or of["limit"].allowed == 50


def test_what_python_put_in_anew_is_there_and_what_it_did_not_change_stays() -> None:
    old, same, changed = bl.Map(9), bl.Map(9), bl.Map(9)
    for each in (old, same):
        each.update({1: 10})
    changed.update({1: 10, 2: 20})
    interpreter = Interpreter(bl.Pipeline(stage_of("def work(pkt):\n    table.add(5)", table=old)), "nothing")
    interpreter.begin()
    old.add(5)
    for new, values in ((same, {1: 10, 5: 1}), (changed, {1: 10, 2: 20})):
        done = interpreter.swap(bl.Pipeline(stage_of("def work(pkt):\n    table.add(5)", table=new)))
        assert dict(new.items()) == values
        assert bool(done.carried.kept) == (new is same)


def test_explain_says_how_large_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import burstline as bl\n\n"
        "sizes, limit = bl.Histogram('sizes of packets'), bl.Meter(1000, 50, 'bytes')\n"
        "seen, tries = bl.Set(1000), bl.Map(1000, key=bl.ipv6)\n"
        "talkers, flows = bl.CountMin(400), bl.HyperLogLog()\n\n\n"
        "@bl.stage\n"
        "def look(pkt):\n"
        "    sizes.add(pkt.length)\n"
        "    if limit.allow(pkt) and seen.add(pkt.length):\n"
        "        tries[pkt.ipv6.src] += talkers.add(5)\n"
        "        flows.add(pkt)\n\n\n"
        "pipeline = bl.Pipeline(look)\n"
    )
    assert main(["explain", str(app)]) == 0
    text = capsys.readouterr().out
    for line in (
        "sizes: Histogram, sizes of packets, values to within 1 %",
        "limit: Meter, 1,000 bytes a second, 50 at once",
        "seen: Set, up to 1,000 keys i64, 12,224 bytes",
        "tries: Map, up to 1,000 keys ipv6, 36,672 bytes",
        "talkers: CountMin, 4 rows of 400 counters, 12,800 bytes",
        "flows: HyperLogLog, 4,096 registers, a byte each",
    ):
        assert f"  {line}\n" in text


def test_a_predicate_may_ask_a_set() -> None:
    wanted = bl.Set(9)
    wanted.update([bl.ip("10.0.0.1"), bl.ip("10.0.0.2")])
    predicate = bl.predicate(function_of("def known(pkt):\n    return pkt.ipv4.src in wanted", wanted=wanted))
    outcome = run_both([predicate], [udp(k % 5, k) for k in range(50)]).equal()
    assert len(outcome.written) == 20
