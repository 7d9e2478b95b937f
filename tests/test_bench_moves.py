"""The bench of moves: whole queues and buckets go from worker to worker, and no packet is lost or overtaken."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.harness.moves_live import BUCKETS, FLOWS, Found, What, moved, write_traffic
from benchmarks.harness.process import cores
from burstline import dpdk
from dpdk_live import alone

needs_dpdk = pytest.mark.skipif(not dpdk.available() or len(cores()) < 2, reason="needs DPDK and two cores")


@needs_dpdk
@pytest.mark.parametrize(("what", "least"), [("queue", FLOWS // 4), ("bucket", 1)])
def test_nothing_is_lost_or_overtaken_at_full_rate(what: What, least: int, tmp_path: Path) -> None:
    write_traffic(tmp_path / "in.pcap")
    found: Found = alone(moved, str(tmp_path / "in.pcap"), what, 6, 200_000)
    assert found.received >= 200_000 and found.records == FLOWS and len(found.took) >= 6
    assert found.lost == 0
    assert found.astray == 0 or found.moved["late"]  # a worker that had no core for 0.1 s
    assert found.moved["records"] >= least * len(found.took) // 2 and found.moved["moves"] == len(found.took)


def test_what_is_lost_is_told() -> None:
    right = Found([1.0], 100, 100, 0, FLOWS, True, 0, {})
    assert right.lost == 0 and BUCKETS % 2 == 0
    assert replace(right, seen=98).lost == 2 and replace(right, missed=3).lost == 3
    assert replace(right, balanced=False).lost == 1
