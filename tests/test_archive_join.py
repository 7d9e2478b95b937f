"""The results of captures that follow each other, put together, are those of one run over all of them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import stage_of
from burstline.archive.fold import Fold
from burstline.archive.gathering import Gathering
from burstline.archive.partial import counts_of
from burstline.archive.refusals import check_mergeable
from burstline.engine.offline import FileRun
from burstline.errors import BurstlineError, UsageError
from burstline.native.write_whole import write_whole
from burstline.state.saved import flow_join
from burstline.state.saved.file import Contents, decoded, encoded
from capture_files import pcap_header, record
from test_flow_table import Tuple5, frame

MS, START = 1_000_000, 1_700_000_000_000_000_000
Packets = Sequence[tuple[int, Tuple5]]  # milliseconds, flow


def udp(source: str, target: str, sport: int, dport: int) -> Tuple5:
    return ip_address(source), ip_address(target), 17, sport, dport


class Flow(bl.Record):
    packets: bl.u32
    bytes: bl.u64
    first: bl.u64
    last: bl.cold[bl.u64]  # type: ignore[valid-type]
    low: bl.u16
    high: bl.u16
    bits: bl.u8


MERGE: Any = {
    "packets": "add",
    "bytes": "add",
    "first": "first",
    "last": "last",
    "low": "min",
    "high": "max",
    "bits": "or",
}
COUNT = """
def count(pkt):
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
        flow.low = 65535
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last = pkt.time
    flow.low = min(flow.low, pkt.length)
    flow.high = max(flow.high, pkt.length)
    flow.bits |= 1 << (pkt.length & 7)
    both[pkt].packets += 1
    seen.add(3)
    sizes.add(pkt.length)
    bytes_of.add(pkt.payload)
    talkers.add(pkt, pkt.length)
    sources.add(pkt.ipv4.src)
    known.add(pkt.ipv4.src)
    tries[pkt.udp.dport] += 1
    largest[pkt.udp.dport] = max(largest.get(pkt.udp.dport, 0), pkt.length)
    note = notes.new()
    note.length = pkt.length
    if pkt.udp.dport == 4:
        flows.close(pkt)
        return bl.drop("closed")
"""


class Two(bl.Record):
    packets: bl.u32


class Note(bl.Record):
    length: bl.u32


def made(rows: list[Any], noted: list[int], idle: float | None = 1.0) -> tuple[bl.Pipeline, dict[str, Any]]:
    state: dict[str, Any] = {
        "flows": bl.FlowTable(Flow, 1000, idle=idle, merge=MERGE),
        "both": bl.FlowTable(Two, 1000, both_ways=True, merge={"packets": "add"}),
        "seen": bl.Counter("seen"), "sizes": bl.Histogram("sizes"), "bytes_of": bl.ByteHistogram(),
        "talkers": bl.CountMin(64), "sources": bl.HyperLogLog(4), "known": bl.Set(100), "tries": bl.Map(100),
        "largest": bl.Map(100, merge="max"), "notes": bl.Digest(Note),
    }  # fmt: skip
    state["known"].update([1])
    state["tries"].update({1: 7})
    state["flows"].expired(lambda batch: rows.extend(batch.tolist()))
    state["notes"].batches(lambda batch: noted.extend(batch["length"].tolist()))
    return bl.Pipeline(stage_of(COUNT, **state)), state


def capture(packets: Packets, place: Path) -> str:
    parts = [pcap_header("<")]
    for ms, flow in packets:
        seconds, rest = divmod(START + ms * MS, 1_000_000_000)
        parts.append(record("<", seconds, rest, frame(flow, ms % 7)))
    place.write_bytes(b"".join(parts))
    return str(place)


def summary(pipeline: bl.Pipeline, state: dict[str, Any], report: Any) -> dict[str, Any]:
    """All that can be read of it."""
    named = {name: state[name] for name in ("seen", "sizes", "sources", "talkers")}
    return {
        "counts": counts_of(report) | {"dispatch": ""},
        "flows": sorted(map(repr, state["flows"].to_numpy().tolist())),
        "both": sorted(map(repr, state["both"].to_numpy().tolist())),
        "left": sum(state["flows"].left.values()) + len(state["flows"]),
        "seen": named["seen"].value,
        "sizes": (state["sizes"].counts(), state["sizes"].sum),
        "bytes": state["bytes_of"].counts,
        "talkers": (state["talkers"].to_numpy().tolist(), state["talkers"].total),
        "sources": state["sources"].to_numpy().tolist(),
        "known": state["known"].to_numpy().tolist(),
        "tries": state["tries"].to_numpy().tolist(),
        "largest": state["largest"].to_numpy().tolist(),
    }


def in_parts(pipeline: bl.Pipeline, paths: Sequence[str], at_once: int, alike: bool = False) -> Any:
    """As workers do it: state goes through bytes. `alike`: most flows have the hash of others."""
    parts = []
    for path in paths:
        with Gathering(pipeline) as gathering:
            run = FileRun(pipeline, path, None)
            run.run()
            parts.append(encoded(Contents(gathering.saved(), {**counts_of(run.report), "error": None})))
    fold = Fold(pipeline, "parts", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("burstline.archive.fold.AT_ONCE", at_once)
        if alike:
            patch.setattr(flow_join, "_hashes", lambda words, hashes=flow_join._hashes: hashes(words) >> 63 << 63)
        for part in parts:
            fold.add(decoded(part, "part"))
        return fold.finish()


flows_of = st.builds(
    udp,
    st.sampled_from(["10.0.0.1", "10.0.0.2"]), st.sampled_from(["10.0.0.1", "10.0.0.3"]),
    st.integers(1, 2), st.integers(1, 4),
)  # fmt: skip
gaps = st.sampled_from([0, 1, 5, 400, 999, 1000, 1500])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    packets=st.lists(st.tuples(gaps, flows_of), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    at_once=st.integers(1, 4),
    alike=st.booleans(),
)
def test_parts_put_together_are_what_one_run_makes(
    packets: list[tuple[int, Tuple5]], cuts: list[int], at_once: int, alike: bool, tmp_path: Path
) -> None:
    now, timed = 0, list[tuple[int, Tuple5]]()
    for gap, flow in packets:
        now += gap
        timed.append((now, flow))
    whole_rows, part_rows, whole_notes, part_notes = list[Any](), list[Any](), list[int](), list[int]()
    pipeline, state = made(whole_rows, whole_notes)
    run = FileRun(pipeline, capture(timed, tmp_path / "all.pcap"), None)
    run.run()
    expected = summary(pipeline, state, run.report)
    pipeline, state = made(part_rows, part_notes)
    at = [0, *sorted(min(cut, len(timed)) for cut in cuts), len(timed)]
    paths = [capture(timed[a:b], tmp_path / f"{k}.pcap") for k, (a, b) in enumerate(pairwise(at))]
    report = in_parts(pipeline, paths, at_once, alike)
    found = summary(pipeline, state, report)
    # An idle record leaves when it is looked for, or at the end: by then it is not a record of the table, in parts.
    assert {n: v for n, v in found.items() if n != "flows"} == {n: v for n, v in expected.items() if n != "flows"}
    assert sorted(map(repr, without_reason(part_rows))) == sorted(map(repr, without_reason(whole_rows)))
    assert part_notes == whole_notes


def without_reason(rows: list[Any]) -> list[Any]:
    """`end` and `idle` depend on when a table is swept."""
    return [row[:-1] for row in rows]


def test_a_record_over_its_active_timeout_ends_at_the_border(tmp_path: Path) -> None:
    rows: list[Any] = []
    table: Any = bl.FlowTable(Flow, 10, active=1.0, merge=MERGE)
    table.expired(lambda batch: rows.extend(batch.tolist()))
    pipeline = bl.Pipeline(stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=table))
    flow = udp("10.0.0.1", "10.0.0.2", 1, 2)
    paths = [capture([(ms, flow)], tmp_path / f"{ms}.pcap") for ms in (0, 600, 999, 1200, 2100, 2500)]
    in_parts(pipeline, paths, 2)
    column = table.to_numpy().dtype.names.index("packets")
    assert [(row[column], row[-1]) for row in rows] == [(3, b"active"), (2, b"active"), (1, b"end")]


def test_records_that_stay_apart_are_one_for_each_capture(tmp_path: Path) -> None:
    table: Any = bl.FlowTable(Flow, 10, merge="apart")
    pipeline = bl.Pipeline(stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=table))
    flow = udp("10.0.0.1", "10.0.0.2", 1, 2)
    paths = [capture([(k, flow)] * (k + 1), tmp_path / f"{k}.pcap") for k in range(3)]
    in_parts(pipeline, paths, 2)
    assert table.to_numpy()["packets"].tolist() == [1, 2, 3]


def test_more_flows_than_a_worker_has_room_for_are_read(tmp_path: Path) -> None:
    table: Any = bl.FlowTable(Flow, 4, merge="apart")
    pipeline = bl.Pipeline(stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=table))
    flows = [udp("10.0.0.1", "10.0.0.2", sport, 2) for sport in range(1, 13)]
    paths = [capture([(0, flow) for flow in flows[k : k + 3]], tmp_path / f"{k}.pcap") for k in range(0, 12, 3)]
    in_parts(pipeline, paths, 8)
    assert sorted(table.to_numpy()["sport"].tolist()) == list(range(1, 13))
    assert table.capacity == 4


def test_the_heaviest_flows_are_those_of_the_end(tmp_path: Path) -> None:
    heavy = bl.HeavyHitters(top=8, flows=256)
    pipeline = bl.Pipeline(stage_of("def count(pkt):\n    heavy.add(pkt)", heavy=heavy))
    early, late = udp("10.0.0.1", "10.0.0.2", 1, 2), udp("10.0.0.1", "10.0.0.2", 3, 4)
    one = capture([(0, early)] * 50, tmp_path / "0.pcap")
    two, three = (capture([(5000, late)] * n, tmp_path / f"{n}.pcap") for n in (20, 30))
    in_parts(pipeline, [one, two, three], 8)
    assert [(each.sport, each.amount) for each in heavy.top()] == [(3, 50)]


def test_one_capture_needs_no_merging(tmp_path: Path) -> None:
    table: Any = bl.FlowTable(Two, 10)
    meter = bl.Meter(rate=1, burst=1)
    code = "def count(pkt):\n    flows[pkt].packets += 1\n    if not meter.allow(pkt):\n        return bl.DROP"
    pipeline = bl.Pipeline(stage_of(code, flows=table, meter=meter))
    report = in_parts(pipeline, [capture([(0, udp("10.0.0.1", "10.0.0.2", 1, 2))] * 3, tmp_path / "0.pcap")], 8)
    assert table.to_numpy()["packets"].tolist() == [3]
    assert meter.exceeded == 2 == report.dropped.packets


def test_what_cannot_be_merged_is_refused_before_anything_runs() -> None:
    meter = bl.Meter(rate=10, burst=10)
    pipeline = bl.Pipeline(
        stage_of("def limit(pkt):\n    if not meter.allow(pkt):\n        return bl.DROP", meter=meter)
    )
    with pytest.raises(UsageError, match="meter is a Meter"):
        check_mergeable(pipeline, 2)
    check_mergeable(pipeline, 1)
    table: Any = bl.FlowTable(Two, 10)
    pipeline = bl.Pipeline(stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=table))
    with pytest.raises(UsageError, match="flows does not say") as error:
        check_mergeable(pipeline, 2)
    assert 'merge={"packets": "add"}' in str(error.value)


@pytest.mark.parametrize(
    ("merge", "message"),
    [
        ({"packets": "sum"}, "says 'sum'"),
        ({"bytes": "add"}, "no such field"),
        ({}, "does not say what becomes of Two.packets"),
        ("add", "says nothing of the fields"),
    ],
)
def test_a_merge_that_says_nothing_of_use_is_refused(merge: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bl.FlowTable(Two, 10, merge=merge)


def test_a_damaged_file_of_state_is_told_and_a_whole_one_is_read(tmp_path: Path) -> None:
    data = encoded(Contents({}, {"a": 1}))
    assert decoded(data, "x").head == {"a": 1}
    at = data.rfind(b"PK\1\2")  # the directory: flags are 8 bytes on, the method of compression 10
    encrypted, packed = (data[: at + k] + bytes([v]) + data[at + k + 1 :] for k, v in ((8, 1), (10, 0x55)))
    for broken in (data[:-30], data.replace(b'"a": 1', b'"a": 2'), b"", encrypted, packed):
        with pytest.raises(BurstlineError, match="x is damaged"):
            decoded(broken, "x")
    write_whole(tmp_path / "x", data)
    assert (tmp_path / "x").read_bytes() == data and len(list(tmp_path.iterdir())) == 1
