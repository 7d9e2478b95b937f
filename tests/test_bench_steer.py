"""The steering bench: what it says of a trace is so, its picture is one, no packet of a live run is lost unseen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import steer
from benchmarks.harness import steer_simulated
from benchmarks.harness.process import cores
from benchmarks.harness.steer_live import Found, Plan, own_process
from benchmarks.harness.steer_simulated import CASES, GOAL, SETTLED, STEADY, measure, outcomes, reachable
from benchmarks.harness.steer_traffic import COUNT, MICE, write_traffic
from burstline import dpdk
from burstline.cli.bench import Options, Row
from burstline.steering.control.flows import Trace, made_flows
from burstline.steering.control.traces import STEP, giant

is_live = dpdk.available() and len(cores()) > 1
needs_dpdk = pytest.mark.skipif(not is_live, reason="needs DPDK and two cores")


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    options = Options("steer", quick=True, say=lambda text: None)
    found = list(steer.run(options))
    assert not options.failures or not is_live
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """Under plain RSS, and steered."""
    capture = tmp_path_factory.mktemp("steer") / "elephant.pcap"
    write_traffic(capture)
    plain = Plan(str(capture), 1, 1e5, "off", 0.2, 0.2)
    with own_process() as live:
        return [live(plain), live(replace(plain, act="on"))]


@needs_dpdk
def test_live_runs_are_compared_with_plain_rss(rows: list[Row]) -> None:
    live = [row for row in rows if row.case.startswith("live, ")]
    assert [row.case.rpartition(": ")[2] for row in live] == ["mice, p99", "mice, p50", "elephant, p99", "queue full"]
    assert {row.peer for row in live} == {"plain RSS"} and [row.unit for row in live] == ["us", "us", "us", "%"]


@needs_dpdk
def test_no_packet_of_a_live_run_is_lost_but_where_its_queue_was_full(found: list[Found]) -> None:
    for one, steered in zip(found, (False, True), strict=True):
        assert one.faults(steered=steered) == []
        assert one.made == 2 * COUNT and one.records <= MICE + 1 and one.elephant_records == 1
        assert one.mice.count and one.elephant.count and one.mice.p50 <= one.mice.p99
    assert found[0].moved["moves"] == 0


@needs_dpdk
def test_what_is_wrong_of_a_live_run_is_told(found: list[Found]) -> None:
    right = replace(found[0], placed=1, moved={"records": 1, "late": 0})
    wrong = {
        "5 packets are lost": {"received": right.received - 5, "seen": right.received - 5},
        "do not add up": {"seen": right.seen - 1},
        "there are 3 records": {"records": 3, "missed": 0, "made": right.received},
        "there are 10,002 records": {"records": MICE + 2},
        "2 records of the elephant": {"elephant_records": 2},
        "7 packets were overtaken": {"disordered": 7},
        "nothing moved": {"moved": {"records": 0, "late": 0}},
    }
    for text, change in wrong.items():
        (fault,) = replace(right, **change).faults(steered=True)
        assert text in fault
    assert replace(right, disordered=7, moved={"records": 1, "late": 1}).faults(steered=True) == []


def test_each_case_is_compared_with_plain_rss_and_with_rss_plus_plus(rows: list[Row]) -> None:
    for name in CASES:
        assert {row.peer for row in rows if row.case == f"{name}: mean"} == {"plain RSS", "RSS++, greedy"}


def test_goals_are_met(rows: list[Row]) -> None:
    settled = [row for row in rows if row.case.endswith("settled, worst")]
    assert {row.case.split(":")[0] for row in settled} >= {"Zipf 0.8", "Zipf 0.9", "colliding", "equal"}
    assert all(row.ours <= GOAL for row in settled)
    beyond = next(row for row in rows if row.case == "beyond plain RSS, worst" and row.peer == "allowed")
    assert beyond.theirs is not None and 0 <= beyond.ours <= beyond.theirs
    assert all(row.ours < row.theirs for row in rows if row.case in {f"{name}: mean" for name in STEADY}
               if row.peer == "plain RSS" and row.theirs is not None)  # fmt: skip


def test_figures_are_those_of_the_simulations() -> None:
    found = measure("equal", 3)
    done = outcomes(CASES["equal"](3, 8))
    assert found.mean == tuple(float((one.loads.max(axis=1) / one.loads.mean(axis=1)).mean()) for one in done)
    late = done[2].loads[SETTLED:]
    assert found.settled[2] == pytest.approx(late.max() / late.mean())
    assert found.moves[0] == 0 < found.moves[2]


def test_what_no_placement_reaches_is_told_from_what_one_does() -> None:
    assert not reachable(giant(0))
    flows = made_flows(16, 1)
    assert reachable(Trace("even", flows, np.ones((2, 16)), STEP))
    assert not reachable(Trace("odd", flows, np.tile(np.where(np.arange(16) < 9, 1.0, 0.0), (2, 1)), STEP))


def test_the_picture_shows_all_policies(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.harness.steer_plot import draw_loads

    file = draw_loads(tmp_path)
    root = ElementTree.parse(file).getroot()
    assert root.tag.endswith("svg")
    assert steer_simulated.CORES == 8 and len(root.findall(".//{*}g[@id='axes_3']")) == 1
