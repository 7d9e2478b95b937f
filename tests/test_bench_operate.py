"""The operate bench: a run is looked at by all that can, each is answered, and packets flow meanwhile."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks import operate
from benchmarks.harness.onlookers import missing
from benchmarks.harness.process import cores
from burstline import dpdk
from burstline.cli.bench import Options
from dpdk_live import needs_root

pytestmark = [
    needs_root,
    pytest.mark.skipif(not dpdk.available() or len(cores()) < 2, reason="needs DPDK and two cores"),
    pytest.mark.skipif(bool(missing()), reason=f"needs {', '.join(missing())}"),
]


def test_all_onlookers_are_answered_and_records_leave_while_packets_flow(tmp_path: Path) -> None:
    said: list[str] = []
    options = Options("operate", quick=True, cache=tmp_path, say=said.append)
    rows = list(operate.run(options))
    assert not options.failures and [row.case for row in rows] == [
        case + what for case in (operate.CASE, operate.SAME) for what in ("", operate.ON_CORE)
    ]  # fmt: skip
    assert all(row.ours > 0 and row.theirs and row.runs == 2 * len(said) for row in rows)
    for line in said:
        answers, exported = re.match(r"operate: ([\d,]+) answers, ([\d,]+) records exported", line).groups()  # type: ignore[union-attr]
        assert answers != "0" and exported != "0"
    assert list(tmp_path.glob("**/*.parquet")) == []
