"""The layout report: each byte of a record once, lines as they are counted by hand, before and after, for people and
for programs."""

from __future__ import annotations

import ctypes
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.cli.main import main
from burstline.engine.layout_report import header_lines, in_c, layout_report
from burstline.native.struct import FieldType
from burstline.pipeline.accesses import Access, accesses_of
from burstline.pipeline.layouts import lay_out_records, layouts_of, room_of
from burstline.pipeline.needs import needs_of
from burstline.pipeline.profile import Profile, load, save
from burstline.state.arrangement import lines_touched
from test_record import TYPES, record_of

C = {1: ctypes.c_uint8, 2: ctypes.c_uint16, 4: ctypes.c_uint32, 8: ctypes.c_uint64}


@given(st.lists(st.sampled_from([t for t in TYPES if t.kind != "ipv6"]), min_size=1, max_size=12))
def test_before_is_what_c_makes_of_it(kinds: list[FieldType]) -> None:
    fields = {f"f{k}": kind for k, kind in enumerate(kinds)}
    made = type("Made", (ctypes.Structure,), {"_fields_": [
        (name, C[t.size] if t.kind != "bytes" else ctypes.c_char * t.size) for name, t in fields.items()
    ]})  # fmt: skip
    layout = in_c("Made", fields)
    assert {s.name: s.offset for s in layout} == {name: getattr(made, name).offset for name in fields}
    assert (layout.size, layout.align) == (ctypes.sizeof(made), ctypes.alignment(made))


@settings(deadline=None)
@given(st.lists(st.sampled_from(TYPES), min_size=1, max_size=12), st.integers(0, 12))
def test_each_byte_of_a_record_is_drawn_once(kinds: Sequence[FieldType], touched: int) -> None:
    record = record_of(list(kinds))
    flows, body = bl.FlowTable(record), "".join(f"\n    f.f{k} = 0" for k in range(min(touched, len(kinds))))
    stage = stage_of(f"def touch(pkt):\n    f = flows[pkt]{body}", flows=flows)
    report = layout_report(accesses_of(bl.Pipeline(stage)), needs_of(bl.Pipeline(stage)), "pcap")
    (about,) = report["records"]
    for when, sizes in (
        ("before", [about["bytes"]["before"], 0]),
        ("after", [about["bytes"][h] for h in ("hot", "cold")]),
    ):
        for half, size in zip(("hot", "cold"), sizes, strict=True):
            pieces = [
                (64 * line["line"] + p["offset"], p["bytes"], p["field"])
                for line in about[when] if line["half"] == half for p in line["pieces"]
            ]  # fmt: skip
            assert all(a + n == b for (a, n, _), (b, _, _) in itertools.pairwise(pieces))
            assert sum(n for _, n, _ in pieces) == size
            assert not pieces or pieces[0][0] == (about["begins_at"] if half == "hot" else 0)
        drawn = {p["field"] for line in about[when] for p in line["pieces"]} - {None}
        assert drawn == {f"f{k}" for k in range(len(kinds))}


class Session(bl.Record):
    first_seen: bl.u64
    first_length: bl.u32
    state: bl.u8
    name: bl.bytes_[40]
    packets: bl.u64
    bytes: bl.u64


SOURCE = {
    "guard": "def guard(pkt):\n    if not pkt.ipv4:\n        return bl.DROP",
    "begin": (
        "def begin(pkt):\n    s = sessions[pkt]\n    if s.packets == 0:\n"
        "        s.first_seen, s.first_length, s.name = pkt.time, pkt.length, pkt.payload"
    ),
    "count": "def count(pkt):\n    s = sessions[pkt]\n    s.packets += 1\n    s.bytes += pkt.length",
}


def pipeline_of(table: Any) -> bl.Pipeline:
    return bl.Pipeline(*(stage_of(source, sessions=table) for source in SOURCE.values()))


def test_what_each_packet_touches_lies_with_the_key_and_the_rest_is_cold() -> None:
    sessions = bl.FlowTable(Session, capacity=100)
    accesses = accesses_of(pipeline_of(sessions))
    assert room_of(sessions) == 24
    layout = layouts_of(accesses)[0]
    assert {s.name for s in layout.half(0)} >= {"packets", "bytes"}
    assert {s.name for s in layout.half(1)} >= {"first_seen", "name"}
    assert lines_touched(layout, ["packets", "bytes"], 24) == 0
    report = layout_report(accesses, needs_of(pipeline_of(sessions)), "pcap")
    assert report["packet"]["state"] < report["packet"]["declared"]
    (about,) = report["records"]
    users = {p["field"]: p["users"] for line in about["after"] for p in line["pieces"] if p["field"]}
    assert [(u["stage"], u["reads"] > 0, u["writes"] > 0) for u in users["packets"]] == [
        ("begin", True, False), ("count", True, True),
    ]  # fmt: skip
    assert users["state"] == []


def test_a_table_holds_the_same_with_the_derived_layout() -> None:
    """Compiled and interpreted, with a cold half and without."""
    import scapy_frames

    frames = [bytes(f) for f in (scapy_frames.TCP4, scapy_frames.UDP4, scapy_frames.TCP4, scapy_frames.ICMP4)] * 3
    found = []
    for derived in (False, True):
        sessions = bl.FlowTable(Session, capacity=100)
        pipeline = pipeline_of(sessions)
        if derived:
            sessions.layout = layouts_of(accesses_of(pipeline))[0]
            assert sessions.layout.cold_size
        rows = run_both(pipeline, frames).equal().state["FlowTable 0"][2]
        names = sessions.to_numpy().dtype.names
        found.append([dict(zip(names, row, strict=True)) for row in rows])
    assert len(found[0]) == 3
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("touched", "lines"),
    [
        ([], {0}),
        ([Access("ipv4", "src")], {0}),
        ([Access("ipv4", "")], {0}),
        ([Access("tcp", "window")], {0}),
        ([Access("ipv6", "dst"), Access("tcp", "dport")], {0}),
        ([Access("ipv6", "dst"), Access("tcp", "urgent")], {0, 1}),
        ([Access("inner.ipv4", "dst")], {0, 1}),
        ([Access("payload", "bytes")], {0, 1}),
        ([Access("pkt", "length")], {0}),
        ([Access("pkt", "fix_checksums")], {0, 1}),
    ],
)
def test_lines_of_headers(touched: list[Access], lines: set[int]) -> None:
    needs = needs_of(bl.Pipeline(stage_of("def s(pkt):\n    if pkt.ipv4:\n        return bl.DROP")))
    assert header_lines(touched, needs) == lines


def test_a_packet_that_nobody_looks_at_is_not_touched() -> None:
    needs = needs_of(bl.Pipeline(stage_of("def s(pkt):\n    if pkt.length:\n        return bl.DROP")))
    assert header_lines([Access("pkt", "length")], needs) == set()


# ---- the command ----


APP = (
    "import burstline as bl\n"
    + """
class Session(bl.Record):
    first_seen: bl.u64
    name: bl.bytes_[40]
    packets: bl.u64
    bytes: bl.u64

sessions = bl.FlowTable(Session, capacity=100)

@bl.stage
def guard(pkt):
    if not pkt.ipv4:
        return bl.DROP

@bl.stage
def count(pkt):
    s = sessions[pkt]
    if s.packets == 0:
        s.first_seen, s.name = pkt.time, pkt.payload
    s.packets += 1
    s.bytes += pkt.length

pipeline = bl.Pipeline(guard, count)
"""
)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    path = tmp_path / "app.py"
    path.write_text(APP)
    return path


def test_the_command_draws_before_and_after(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", str(app)]) == 0
    said = capsys.readouterr().out
    assert "record Session of sessions, a FlowTable, behind 40 bytes of key" in said
    before, after = said.split("as laid out: ")
    assert before.index("name") < before.index("packets")
    assert after.index("packets") < after.index("cold line 0") < after.index("name")
    assert "guard -> count -> through" in after
    assert "FileWorker" not in said
    assert main(["layout", str(app), "--engine", "--source", "ports"]) == 0
    said = capsys.readouterr().out
    assert all(word in said for word in ("PortWorker, ", "PortQueue, ", "TableHead, ", "256 packets take", "mbuf"))


def test_the_command_prints_json(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["layout", str(app), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert [r["name"] for r in about["records"]] == ["Session"]
    assert sum(path["share"] for path in about["paths"]) == pytest.approx(1)
    assert {s["name"] for s in about["structures"]} >= {"FileWorker", "TableHead"}
    assert about["burst"]["bytes"] == sum(c["bytes"] for c in about["burst"]["columns"]) + 4
    assert about["packet"]["state"] == pytest.approx(sum(p["share"] * p["state"] for p in about["paths"]))


def test_a_profile_weighs_the_paths(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "gen:packets=1000,flows=10,ipv6=0.25"
    assert main(["layout", str(app), "--json", "--profile", source]) == 0
    about = json.loads(capsys.readouterr().out)
    shares = {path["end"]: path["share"] for path in about["paths"]}
    assert about["profile"] == source
    assert shares["through"] + shares["dropped: guard"] == pytest.approx(1)
    assert 0 < shares["dropped: guard"] < 0.5
    (users,) = [
        p["users"] for line in about["records"][0]["after"] for p in line["pieces"] if p["field"] == "first_seen"
    ]
    assert 0 < users[0]["writes"] < 0.05  # ten flows, and a thousand packets
    assert main(["layout", str(app), "--profile", "dpdk:net_null"]) == 2
    assert "a profile is of a capture" in capsys.readouterr().err


def test_every_example_has_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    for example in sorted(Path(__file__).parents[1].glob("examples/*.py")):
        for more in ([], ["--engine"], ["--json"]):
            assert main(["layout", str(example), *more]) == 0
            assert capsys.readouterr().out


# ---- profiles ----


def test_a_profile_is_kept_beside_the_application(app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = app.with_suffix(".profile.json")
    assert main(["layout", str(app), "--json", "--profile", "gen:packets=1000,flows=10,ipv6=0.25", "--save"]) == 0
    profiled = json.loads(capsys.readouterr().out)
    assert main(["layout", str(app), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again.pop("profile") == kept.name
    profiled.pop("profile")
    assert again == profiled
    kept.unlink()
    assert main(["layout", str(app), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["paths"] != profiled["paths"]


@pytest.mark.parametrize(
    "wrong",
    ["", "[]", '{"main": {"edges": [["main", "guard", "next"]], "branches": {}}}', '{"main": {"edges": []}}',
     '{"main": {"edges": [[1, 2, 3, 4, 5]], "branches": {}}}', '{"main": {"edges": [], "branches": {"a": [[1, 2]]}}}'],
)  # fmt: skip
def test_a_profile_that_is_none_is_told(wrong: str, app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app.with_suffix(".profile.json").write_text(wrong)
    assert main(["layout", str(app)]) == 1
    assert "app.profile.json is no profile: " in capsys.readouterr().err
    assert main(["layout", str(app), "--save"]) != 0


def test_a_profile_goes_by_names(tmp_path: Path) -> None:
    table = bl.FlowTable(Session, capacity=100)
    old, path = pipeline_of(table), tmp_path / "app.profile.json"
    edges = {(0, 0, "next", ""): 7, (0, 0, "drop", "guard"): 3, (0, 1, "next", ""): 7, (0, 2, "next", ""): 7}
    profile = Profile(edges, {"code": {(0, 1): 2, (1, 1): 5}})
    save(path, old, profile)
    assert load(path, old) == profile
    guard, begin, count = old.stages
    shorter = load(path, bl.Pipeline(guard, count))
    assert shorter is not None
    assert shorter.edges == {(0, 0, "next", ""): 7, (0, 0, "drop", "guard"): 3, (0, 1, "next", ""): 7}
    assert load(path, bl.Pipeline(begin, name="other")) is None
    assert load(tmp_path / "nowhere", old) is None
    other = bl.Pipeline(begin, name="other")
    save(path, other, Profile({(0, 0, "next", ""): 1}))
    assert load(path, old) == profile


def test_tables_are_laid_out_unless_they_hold_records() -> None:
    table = bl.FlowTable(Session, capacity=100)
    pipeline = pipeline_of(table)
    lay_out_records(pipeline)
    first = table.layout
    assert first == layouts_of(accesses_of(pipeline))[0] != Session.layout
    other = bl.Pipeline(stage_of("def name(pkt):\n    t[pkt].name = pkt.payload", t=table))
    table.attach()
    lay_out_records(other)
    assert table.layout == first
    table.reset()
    lay_out_records(other)
    assert table.layout != first
