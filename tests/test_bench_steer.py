"""The steering bench: what it says of a trace is so, and its picture is one."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import steer
from benchmarks.harness import steer_simulated
from benchmarks.harness.steer_simulated import CASES, GOAL, SETTLED, STEADY, measure, outcomes, reachable
from burstline.cli.bench import Options, Row
from burstline.steering.control.flows import Trace, made_flows
from burstline.steering.control.traces import STEP, giant


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(steer.run(Options("steer", quick=True, say=lambda text: None)))


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
