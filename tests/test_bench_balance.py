"""The balancer's bench: goals are met where it measures a little, and each traffic is compared with all policies."""

from __future__ import annotations

from benchmarks import balance
from burstline.cli.bench import Options, Row


def test_goals_are_met_and_each_policy_is_compared() -> None:
    options = Options("balance", quick=True, say=lambda text: None)
    rows = [row for traffic in balance.TRAFFIC[:1] for row in balance._compared(options, traffic, balance.MACHINES[:1])]
    named = {(row.case, row.peer): row for row in rows}
    waits, moves = named["skewed: p99", "better of RSS, RSS++"], named["skewed: moves", "RSS++"]
    assert waits.theirs and waits.ours <= 0.7 * waits.theirs
    assert moves.theirs and 0 < moves.ours <= moves.theirs / 3
    assert {row.peer for row in rows} == {"better of RSS, RSS++", "RSS++", "RSS++, each 100 ms"}
    assert all(isinstance(row, Row) and row.runs == 1 for row in rows)
