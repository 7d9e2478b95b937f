"""Flows that end: by timeouts, eviction and `close`, against a dict; which way packets go; who gets the records."""

from __future__ import annotations

import ipaddress
import random
from collections import Counter as Tally
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import stage_of
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun
from burstline.errors import BurstlineError, UsageError
from capture_files import pcap_header, record
from test_flow_table import Tuple5, frame

MS = 1_000_000
START = 1_700_000_000_000_000_000


class Flow(bl.Record):
    packets: bl.u32
    forward: bl.u32
    bytes: bl.u64
    first: bl.u64
    last: bl.u64


COUNT = """
def count(pkt):
    flow = flows[pkt]
    if flow.packets == 0:
        flow.first = pkt.time
    if flows.is_forward(pkt):
        flow.forward += 1
    flow.packets += 1
    flow.bytes += pkt.length
    flow.last = pkt.time
    if closes and pkt.tcp.flag_fin:
        flows.close(pkt)
"""
Packets = Sequence[tuple[int, Tuple5]]  # milliseconds since the start, flow


def as_dicts(batch: Any) -> list[dict[str, Any]]:
    found = []
    for row in batch:
        row = {name: bytes(row[name]) if name in ("src", "dst") else row[name].item() for name in batch.dtype.names}
        found.append(row | {"reason": row["reason"].decode()})
    return found


def capture(packets: Packets, folder: Path) -> str:
    path = folder / "packets.pcap"
    parts = [pcap_header("<")]
    for ms, flow in packets:
        seconds, rest = divmod(START + ms * MS, 1_000_000_000)
        parts.append(record("<", seconds, rest, frame(flow)))
    path.write_bytes(b"".join(parts))
    return str(path)


def ended(packets: Packets, folder: Path, *, workers: int = 1, closes: bool = False, **options: Any) -> list[Any]:
    """Rows of all records that left, or were there at the end, compiled and interpreted; the two must agree."""
    path = capture(packets, folder)
    found = []
    for compiled in (True, False):
        table: bl.FlowTable[Flow] = bl.FlowTable(Flow, **options)
        rows: list[Any] = []
        table.expired(lambda batch, rows=rows: rows.extend(as_dicts(batch)))  # type: ignore[misc]
        pipeline = bl.Pipeline(stage_of(COUNT, flows=table, closes=closes))
        if compiled:
            FileRun(pipeline, path, None, workers=workers).run()
        else:
            Interpreter(pipeline, path).run_file(path, None, None, None)
        reasons = Tally(row["reason"] for row in rows)
        assert {reason: reasons[reason] for reason in table.left} == table.left
        assert reasons["end"] == len(table)
        found.append(sorted(rows, key=lambda row: (row["first"], row["sport"], row["dport"])))
    without = [[{k: v for k, v in row.items() if k != "reason"} for row in rows] for rows in found]
    assert without[0] == without[1], "but whether it left before the end, or then"
    return found[0]


def modelled(packets: Packets, idle: int | None, active: int | None) -> list[tuple[Any, ...]]:
    """(first, last, packets, reason) of each record, in milliseconds, by a dict."""
    flows: dict[Tuple5, list[int]] = {}
    gone = []
    for ms, flow in packets:
        if flow in flows:
            first, last, _ = flows[flow]
            if idle and ms - last >= idle:
                gone.append((*flows.pop(flow), "idle"))
            elif active and ms - first >= active:
                gone.append((*flows.pop(flow), "active"))
        flows.setdefault(flow, [ms, ms, 0])
        flows[flow][1] = ms
        flows[flow][2] += 1
    end = packets[-1][0] if packets else 0
    return sorted([*gone, *((*f, "idle" if idle and end - f[1] >= idle else "end") for f in flows.values())])


def summed(rows: list[Any], packets: Packets, idle: int | None) -> list[tuple[Any, ...]]:
    """The same of rows. A record that is over its time when the run ends may have left or not: both count as idle."""
    end = packets[-1][0] if packets else 0
    made = []
    for row in rows:
        first, last = ((row[name] - START) // MS for name in ("first", "last"))
        over = row["reason"] == "end" and idle is not None and end - last >= idle
        made.append((first, last, row["packets"], "idle" if over else row["reason"]))
    return sorted(made)


A, B = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("10.0.0.2")
FLOWS: list[Tuple5] = [(A, B, 6, 1000 + k, 80) for k in range(6)]
GAPS = st.lists(st.tuples(st.sampled_from([0, 1, 7, 50, 99, 100, 101, 400]), st.sampled_from(FLOWS)), max_size=60)


SLOW = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]


@settings(max_examples=12, deadline=None, suppress_health_check=SLOW)
@given(gaps=GAPS)
@pytest.mark.parametrize(("idle", "active"), [(100, None), (None, 150), (100, 150)])
def test_records_leave_after_their_timeouts_as_a_dict_lets_them(
    idle: int | None, active: int | None, gaps: Packets, tmp_path: Path
) -> None:
    now, packets = 0, []
    for gap, flow in gaps:
        now += gap
        packets.append((now, flow))
    seconds = {name: ms / 1000 for name, ms in (("idle", idle), ("active", active)) if ms is not None}
    rows = ended(packets, tmp_path, **seconds)
    assert summed(rows, packets, idle) == modelled(packets, idle, active)


def test_what_is_idle_leaves_while_others_go_on_and_leaves_room(tmp_path: Path) -> None:
    """Ten times as many flows as the table has room for, never more at once."""
    chance = random.Random(5)
    packets = []
    for k in range(40_000):
        packets.append((k, (A, B, 17, 1 + k // 10, chance.randrange(4))))
    path = capture(packets, tmp_path)
    table: bl.FlowTable[Flow] = bl.FlowTable(Flow, capacity=1600, idle=1.0)
    FileRun(bl.Pipeline(stage_of(COUNT, flows=table, closes=False)), path, None).run()
    assert table.refused == 0
    assert table.left["idle"] > 10_000
    assert len(table) <= 1600
    assert sum(table.to_numpy()["packets"]) < 40_000


def test_several_workers_end_the_records_that_one_ends(tmp_path: Path) -> None:
    chance = random.Random(6)
    packets, now = [], 0
    for _ in range(5000):
        now += chance.choice((0, 1, 20))
        packets.append((now, (A, B, 6, chance.randrange(50), 80)))
    rows = ended(packets, tmp_path, workers=2, idle=0.3, active=2.0)
    assert summed(rows, packets, 300) == modelled(packets, 300, 2000)


def test_both_ways_are_one_flow_and_the_first_packet_says_which_is_forward(tmp_path: Path) -> None:
    six = ipaddress.ip_address("2001:db8::1"), ipaddress.ip_address("2001:db8:ffff::2")
    ends = [(A, B, 6, 5, 80), (B, A, 6, 9, 443), (*six, 17, 53, 53), (*six[::-1], 17, 7, 3), (A, A, 6, 2, 1)]
    packets = []
    for k, (source, target, protocol, sport, dport) in enumerate(ends * 3):
        there, back = (source, target, protocol, sport, dport), (target, source, protocol, dport, sport)
        packets += [(3 * k, there), (3 * k + 1, back), (3 * k + 2, there)]
    rows = ended(packets, tmp_path, both_ways=True)
    assert len(rows) == len(ends)
    for row in rows:
        source, target = (ipaddress.ip_address(row[end][: 4 if row["version"] == 4 else 16]) for end in ("src", "dst"))
        ports = row["sport"], row["dport"]
        assert (source, target, row["protocol"], *ports) in ends, "as the first packet went"
        assert row["packets"] == 9
        assert row["forward"] == 6


def test_a_stage_can_close_a_flow(tmp_path: Path) -> None:
    source = COUNT.replace("pkt.tcp.flag_fin", "flow.packets == 3")
    packets = [(k, FLOWS[k % 2]) for k in range(14)]
    path = capture(packets, tmp_path)
    for compiled in (True, False):
        table: bl.FlowTable[Flow] = bl.FlowTable(Flow)
        rows: list[Any] = []
        table.expired(lambda batch, rows=rows: rows.extend(as_dicts(batch)))  # type: ignore[misc]
        pipeline = bl.Pipeline(stage_of(source, flows=table, closes=True))
        if compiled:
            FileRun(pipeline, path, None).run()
        else:
            Interpreter(pipeline, path).run_file(path, None, None, None)
        assert sorted((row["packets"], row["reason"]) for row in rows) == [(1, "end")] * 2 + [(3, "closed")] * 4
        assert table.left == {"idle": 0, "active": 0, "evicted": 0, "closed": 4}


def test_a_full_table_evicts_what_was_idle_and_counts_it(tmp_path: Path) -> None:
    chance = random.Random(7)
    hot = [(A, B, 6, k, 80) for k in range(20)]
    packets = [(k, chance.choice(hot) if k % 2 else (A, B, 17, k % 60_000, k // 60_000)) for k in range(9000)]
    rows = ended_compiled(packets, tmp_path, capacity=500, full="evict")
    table, all_rows = rows
    assert table.refused == 0
    assert table.left["evicted"] == len(all_rows) - len(table)
    assert len(table) == 500
    assert sum(row["packets"] for row in all_rows) == len(packets), "each packet is in a record that left, or is there"
    hot_kept = sum(1 for row in table.to_numpy() if row["protocol"] == 6)
    assert hot_kept >= 15, "flows with packets all the time stay"
    assert any("evicted for new flows" in warning for warning in table.warnings())


def ended_compiled(packets: Packets, folder: Path, **options: Any) -> tuple[Any, list[Any]]:
    table: bl.FlowTable[Flow] = bl.FlowTable(Flow, **options)
    rows: list[Any] = []
    table.expired(lambda batch: rows.extend(as_dicts(batch)))
    FileRun(bl.Pipeline(stage_of(COUNT, flows=table, closes=False)), capture(packets, folder), None).run()
    return table, rows


def test_records_that_leave_go_to_a_parquet_file(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    path, out = capture([(k * 60, FLOWS[k % 3]) for k in range(40)], tmp_path), tmp_path / "flows.parquet"
    table: bl.FlowTable[Flow] = bl.FlowTable(Flow, active=1.0, sink=str(out))
    FileRun(bl.Pipeline(stage_of(COUNT, flows=table, closes=False)), path, None).run()
    rows = parquet.read_table(out)
    assert sum(rows.column("packets").to_pylist()) == 40
    assert set(rows.column("reason").to_pylist()) == {"active", "end"}
    assert set(rows.column("src").to_pylist()) == {"10.0.0.1"}


def test_a_parquet_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(BurstlineError, match="there is no such directory"):
        bl.FlowTable(Flow, sink=str(tmp_path / "nowhere" / "flows.parquet"))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"idle": 0}, "idle=0 seconds is out of range"),
        ({"active": 1e9}, "out of range"),
        ({"full": "panic"}, "nothing that a full table can do"),
        ({"key": "ipv4.src"}, "is one string"),
        ({"key": ("ipv4.sender",)}, "is no field of a packet"),
        ({"key": ("ipv4.src",), "both_ways": True}, "name the fields"),
        ({"key": ()}, "1 to 16 fields"),
    ],
)
def test_options_that_cannot_be_are_refused(options: Any, match: str) -> None:
    with pytest.raises(UsageError) as raised:
        bl.FlowTable(Flow, **options)
    assert match in f"{raised.value.message} {raised.value.hint}"


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_idle_in_a_burst_without_a_packet(workers: int) -> None:
    """Generated traffic ends with such a burst, and one worker may have no packet of a burst."""
    table: bl.FlowTable[Flow] = bl.FlowTable(Flow, idle=15, both_ways=True)
    pipeline = bl.Pipeline(stage_of(COUNT, flows=table, closes=False))
    FileRun(pipeline, "gen:packets=20k,flows=1k", None, workers=workers).run()
    assert table.left["idle"] == 0
    assert len(table) == 1000
