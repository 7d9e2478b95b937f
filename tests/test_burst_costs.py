"""What packets cost by the size of their burst: every packet is in it once, and the table has what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burstline.engine.burst_costs import CLASSES, PHASES, Cost, costs_of, lines, sizes
from burstline.engine.costs_kernel import class_of


def test_each_burst_is_in_the_class_of_its_size() -> None:
    assert [sizes(k) for k in range(CLASSES)][:3] == ["1", "2-3", "4-7"] and sizes(CLASSES - 1) == "256"
    for n in range(1, 257):
        low, _, high = sizes(class_of(n)).partition("-")
        assert int(low) <= n <= int(high or low)


def test_the_look_at_the_clock_is_taken_off_a_stage_and_what_was_not_seen_is_left_out() -> None:
    edges = {(0, 0, "cycles", "3"): 100_000_000, (0, 0, "timed", "3"): 10}
    phases = [[(2000 if k == 3 else 0, 10 if k == 3 else 0) for k in range(CLASSES)]] * len(PHASES)
    found = [cost.as_json() for cost in costs_of(edges, phases, {(0, 0): "count", (0, 1): "never"}, 1e9)]
    assert [cost["name"] for cost in found] == [*PHASES, "stage count"]
    assert found[0]["bursts"] == {"8-15": {"packets": 10, "ns": 200.0}}
    assert 9_990_000 < found[-1]["bursts"]["8-15"]["ns"] < 10_000_000


def test_the_table_has_a_column_for_each_size_that_there_was() -> None:
    some = Cost("receive", (5, 0, 7, *[0] * 6), (3.25, 0, 1.5, *[0.0] * 6)).as_json()
    other = Cost("stage count", (5, *[0] * 8), (12.0, *[0.0] * 8)).as_json()
    assert [line.split() for line in lines([some, other])] == [
        [*["ns", "a", "packet", "in", "bursts", "of", "1", "4-7"]],
        ["receive", "3.2", "1.5"],
        ["stage", "count", "12.0", "-"],
    ]
    assert lines([]) == []


APP = """
import burstline as bl
seen = bl.Counter("seen")
@bl.stage
def count(pkt):
    seen.add(1)
@bl.stage
def back(pkt):
    return bl.send(0)
pipeline = bl.Pipeline(count, back)
"""


@pytest.mark.parametrize("options", [[], ["--burst", "4", "--dispatch", "tail"]])
def test_every_packet_of_a_run_is_in_its_costs(tmp_path: Path, options: list[str]) -> None:
    pytest.importorskip("burstline.dpdk.binding", reason="built without DPDK")
    from dpdk_live import python

    (tmp_path / "app.py").write_text(APP)
    words = ["run", str(tmp_path / "app.py"), "dpdk:ring-loop,packets=100", "--no-huge", "--duration", "0.3", *options]
    done = python(f"from burstline.cli.main import main; raise SystemExit(main({[*words, '--costs', '--json']!r}))")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    costs = {cost["name"]: cost["bursts"] for cost in report["costs"]}
    assert {*costs} == {*PHASES, "stage count", "stage back"}
    for bursts in costs.values():
        assert sum(of["packets"] for of in bursts.values()) == report["packets_in"] > 0
        assert all(of["ns"] >= 0 for of in bursts.values())
    if options:
        assert {*costs["stages"]} == {"4-7"}


def test_costs_of_a_file_are_refused(tmp_path: Path) -> None:
    from burstline.cli.main import main

    (tmp_path / "app.py").write_text("import burstline as bl\npipeline = bl.Pipeline()\n")
    assert main(["run", str(tmp_path / "app.py"), "gen:packets=10", "--costs"]) == 2
