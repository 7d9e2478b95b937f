"""Flows that are read while workers write them: each record is whole, as some burst left it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import stage_of
from burstline.cli.main import main
from burstline.engine.offline import FileRun

PACKETS, FLOWS = 100_000, 15_000

SOURCE = """
def count(pkt):
    flow = flows[pkt]
    flow.one += 1
    waste = 0
    for k in range(pkt.length & 255):
        waste ^= flow.one * k + waste
    flow.two += 1
    flow.seldom += 1
    flow.wasted = waste
"""


class Flow(bl.Record):
    one: bl.u64
    two: bl.u64
    wasted: bl.u64
    seldom: bl.cold[bl.u64]


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("read") / "flows.pcap")
    assert main(["gen", path, "--packets", str(PACKETS), "--flows", str(FLOWS), "--zipf", "0.5"]) == 0
    return path


@pytest.mark.parametrize("options", [{}, {"both_ways": True, "idle": 0.05}, {"capacity": 5000, "full": "evict"}])
@pytest.mark.parametrize("workers", [1, 2])
def test_records_that_are_read_while_they_are_written_are_whole(
    options: dict[str, Any], workers: int, capture: str, tmp_path: Path
) -> None:
    flows: bl.FlowTable[Flow] = bl.FlowTable(Flow, **{"capacity": 50_000, **options})
    left: list[Any] = []
    flows.expired(left.append)
    run = FileRun(bl.Pipeline(stage_of(SOURCE, flows=flows)), capture, None, workers=workers)
    thread = threading.Thread(target=run.run)
    thread.start()
    sizes, before = [], 0
    while thread.is_alive():
        rows = flows.to_numpy()
        assert (rows["one"] == rows["two"]).all()
        assert (rows["one"] == rows["seldom"]).all()
        assert (rows["one"] > 0).all()
        sizes.append(int(rows["one"].sum()))
        if not options:  # where records leave, one may be read, and its flow's next one in another place
            names = ["version", "protocol", "src", "dst", "sport", "dport"]
            assert len({row.tobytes() for row in rows[names].copy()}) == len(rows), "no flow twice"
            assert sizes[-1] >= before, "packets only become more"
            before = sizes[-1]
    thread.join()
    assert len({size for size in sizes if 0 < size < PACKETS}) > 1, "it was read meanwhile"
    gone = sum(int(rows["one"].sum()) for rows in left)
    assert gone + flows.refused == PACKETS, "each packet is in a record that left, the last ones at the end"
