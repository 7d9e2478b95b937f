"""A swap to another record or layout: every flow goes on, field by field, while packets come and others read."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import stage_of
from burstline.engine.offline import FileRun
from test_swap import until

FLOWS = 20_000


class First(bl.Record):
    packets: bl.u32
    bytes: bl.u64
    began: bl.cold[bl.i64]


class Second(bl.Record):
    began: bl.i64
    unknown: bl.u64
    bytes: bl.u64
    packets: bl.u64


class Third(bl.Record):
    label: bl.bytes_[48]
    packets: bl.u64
    bytes: bl.hot[bl.u64]


COUNT = """
def count(pkt):
    flow = flows[pkt]
    flow.packets += 1
    flow.bytes += pkt.length
"""


def pipeline(record: type[bl.Record], **options: Any) -> tuple[bl.Pipeline, bl.FlowTable[Any]]:
    flows: bl.FlowTable[Any] = bl.FlowTable(record, **{"capacity": 30_000, **options})
    return bl.Pipeline(stage_of(COUNT, flows=flows)), flows


def key_of(row: Any) -> tuple[Any, ...]:
    return tuple(row[name].tobytes() for name in ("version", "protocol", "src", "dst", "sport", "dport"))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("options", [{}, {"both_ways": True, "idle": 1000}])
def test_records_are_carried_over_by_name_through_two_swaps(workers: int, options: dict[str, Any]) -> None:
    made = [pipeline(record, **options) for record in (First, Second, Third)]
    for each, _ in made:  # so that a swap takes a moment
        FileRun(each, "gen:packets=100,flows=10", None, workers=workers).run()
    run = FileRun(made[0][0], f"gen:packets=1e9,flows={FLOWS},zipf=0.5,mean=100", None, workers=workers)
    thread = threading.Thread(target=run.run)
    thread.start()
    until(lambda: run.report.first_packet_seconds is not None and len(made[0][1]) >= FLOWS // 2)
    seen = 0
    for each, table in made[1:]:
        done = run.swap(each)
        assert (done.carried.kept, done.carried.begun_anew) == (("flows",), ())
        rows = table.to_numpy()
        assert len({key_of(row) for row in rows}) == len(rows), "no flow twice, wherever its record is"
        assert rows["packets"].sum() >= seen
        seen = rows["packets"].sum()
        assert seen > 0
    last = made[2][1]
    until(lambda: len(last) == FLOWS and not any(each.is_left for heritage in last._heritage for each in heritage))
    run.stop()
    thread.join()
    rows = last.to_numpy()
    assert len(rows) == len(last) == FLOWS
    assert rows["packets"].sum() == run.report.received.packets > seen
    assert rows["bytes"].sum() == run.report.received.bytes


def test_interpreted_records_are_carried_over_by_name() -> None:
    (first, before), (_, after) = pipeline(First), pipeline(Second)
    from burstline.engine.interpreter import Interpreter

    Interpreter(first, "gen").run_file("gen:packets=500,flows=20", None, None, None)
    counted = {key_of(row): (row["packets"], row["bytes"]) for row in before.to_numpy()}
    assert len(counted) == 20
    assert after.adopt(before)
    assert {key_of(row): (row["packets"], row["bytes"]) for row in after.to_numpy()} == counted
    assert not after.to_numpy()["unknown"].any()


@pytest.mark.parametrize("record", [First, Second])
def test_the_file_of_records_goes_on_or_another_one_begins_beside_it(record: type[bl.Record], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "flows.parquet"
    first, before = pipeline(First, idle=0.02, sink=str(out))
    second, after = pipeline(record, idle=0.03, sink=str(out))
    FileRun(second, "gen:packets=100,flows=10", None).run()
    run = FileRun(first, f"gen:packets=1e9,flows={FLOWS},zipf=0.5,mean=100", None)
    thread = threading.Thread(target=run.run)
    thread.start()
    until(lambda: run.report.first_packet_seconds is not None and before.left["idle"] > 100)
    run.swap(second)
    until(lambda: after.left["idle"] > before.left["idle"] + 100)
    run.stop()
    thread.join()
    files = [out] if record is First else [out, out.with_stem("flows-next")]
    packets = [sum(parquet.read_table(path).column("packets").to_pylist()) for path in files]
    assert all(packets)
    assert sum(packets) == run.report.received.packets
