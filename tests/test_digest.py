"""Digests reach Python complete and in order, through rings that wrap and fill up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import named_state, pcap_of, run_both, stage_of
from burstline.cli.main import main
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.errors import BurstlineError, UsageError


class Seen(bl.Record):
    time: bl.i64
    number: bl.u16
    name: bl.bytes_[3]
    source: bl.ipv4


MESSAGE = "test_digest.py:[0-9]+: the handler of Seen digests raised ValueError: the handler is broken"
SOURCE = """
def hand(pkt):
    for k in range(pkt.payload[0]):
        r = seen.new()
        r.time = pkt.time
        r.number = k
        r.name = pkt.payload
"""


def packets_making(counts: list[int]) -> list[bytes]:
    """Packets of an unknown kind, each with the number of digests to make of it."""
    return [bytes(12) + b"\x88\xb5" + bytes([n]) + b"ab" for n in counts]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 8), max_size=200), st.sampled_from([16, 64, 1 << 16]), st.sampled_from([1, 2]))
def test_nothing_is_lost_or_out_of_order_however_small_the_ring(counts: list[int], capacity: int, workers: int) -> None:
    stage = stage_of(SOURCE, seen=bl.Digest(Seen, capacity=capacity))
    outcome = run_both([stage], packets_making(counts), out=None, workers=workers).equal()
    names = [s.name for s in Seen.layout]
    rows = [dict(zip(names, row, strict=True)) for row in outcome.state["Digest 0"]]
    wanted = [(1_700_000_000_000_000_000 + 1000 * k, j) for k, count in enumerate(counts) for j in range(count)]
    assert [(r["time"], r["number"]) for r in rows] == wanted
    assert all((r["name"], r["source"]) == (bytes([counts[(r["time"] // 1000) % 1000]]) + b"ab", 0) for r in rows)


def test_a_packet_that_makes_more_than_half_a_ring_loses_some_and_it_is_said() -> None:
    digest = bl.Digest(Seen, capacity=16)
    pipeline = bl.Pipeline(stage_of(SOURCE, seen=digest))
    both = run_both(pipeline, packets_making([3, 40, 2]), out=None)
    rows, report = both.compiled.state["Digest 0"], both.compiled.report
    assert len(rows) == 3 + 13 + 2
    assert report.warnings == ["27 digests of Seen were lost: raise capacity above 16"]
    assert len(both.interpreted.state["Digest 0"]) == 45


def test_batches_are_arrays_of_the_handlers_own(tmp_path: Any) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of(packets_making([4] * 500)))
    digest = bl.Digest(Seen, capacity=64)
    batches: list[Any] = []
    digest.batches(batches.append)
    FileRun(bl.Pipeline(stage_of(SOURCE, seen=digest)), str(tmp_path / "in.pcap"), None).run()
    assert len(batches) > 10
    assert all(0 < len(batch) <= 64 for batch in batches)
    assert digest.lost == 0
    whole = np.concatenate(batches)
    assert whole["number"].tolist() == [0, 1, 2, 3] * 500
    assert whole["name"].tolist() == [b"\x04ab"] * 2000
    assert whole.flags.owndata


@pytest.mark.parametrize("workers", [1, 2])
def test_a_handler_that_fails_ends_the_run_with_its_error(workers: int, tmp_path: Any) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of(packets_making([2] * 5000)))
    digest = bl.Digest(Seen, capacity=64)
    calls = []

    @digest.batches
    def handle(batch: Any) -> None:
        calls.append(len(batch))
        raise ValueError("the handler is broken")

    pipeline = bl.Pipeline(stage_of(SOURCE, seen=digest))
    run = FileRun(pipeline, str(tmp_path / "in.pcap"), None, workers=workers)
    with pytest.raises(BurstlineError, match=MESSAGE) as caught:
        run.run()
    assert isinstance(caught.value.__cause__, ValueError)
    assert len(calls) == 1
    assert run.report.balanced
    assert run.report.received.packets
    interpreted = Interpreter(pipeline, "in.pcap")
    with pytest.raises(BurstlineError, match=MESSAGE):
        interpreted.run_file(str(tmp_path / "in.pcap"), None, None, None)
    assert len(calls) == 2


def test_a_function_at_the_end_that_fails_is_told_with_its_place_after_the_report(
    tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of([b"packet"]))
    (tmp_path / "app.py").write_text(
        "import burstline as bl\n\n@bl.stage\ndef s(pkt):\n    return None\n\npipeline = bl.Pipeline(s)\n\n"
        "@pipeline.at_end\ndef show(report):\n    {}['missing']\n"
    )
    for mode in ([], ["--interpret"]):
        assert main(["run", str(tmp_path / "app.py"), str(tmp_path / "in.pcap"), *mode]) == 1
        shown = capsys.readouterr()
        assert "received" in shown.out
        place = f"{tmp_path}/app.py:11: `show`, called at the end, raised KeyError: 'missing'\n    {{}}['missing']\n"
        assert shown.err.startswith(f"burstline: error: {place}")


def test_without_a_handler_digests_are_let_go(tmp_path: Any) -> None:
    (tmp_path / "in.pcap").write_bytes(pcap_of(packets_making([2] * 500)))
    digest = bl.Digest(Seen, capacity=64)
    report = FileRun(bl.Pipeline(stage_of(SOURCE, seen=digest)), str(tmp_path / "in.pcap"), None).run()
    assert (report.received.packets, report.warnings, digest.lost) == (500, [], 0)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: bl.Digest(int), "needs a Record class"),  # type: ignore[type-var]
        (lambda: bl.Digest(Seen, capacity=100), "not a power of two"),
        (lambda: bl.Digest(Seen, capacity=1), "not a power of two"),
    ],
)
def test_a_digest_that_cannot_be_is_refused(make: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        make()


def test_state_is_found_by_where_it_is_named() -> None:
    digest = bl.Digest(Seen)
    pipeline = bl.Pipeline(stage_of(SOURCE, seen=digest), stage_of("def other(pkt):\n    seen.new()", seen=digest))
    assert [name for name, _ in named_state(pipeline)] == ["Digest 0"]
