"""The XDP bench: both programs choose the same queues, and each comparison has a row."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import xdp
from benchmarks.harness.install import program
from burstline.cli.bench import Options
from xdp_machine import why_not


def test_each_set_of_rules_has_a_row_and_both_programs_choose_the_same_queues(tmp_path: Path) -> None:
    if why := why_not():
        pytest.skip(why)
    if program("clang") is None:
        pytest.skip("needs clang")
    options = Options("xdp", quick=True, cache=tmp_path)
    rows = list(xdp.run(options))
    assert not options.missing and not options.failures
    assert [row.case for row in rows] == [
        "no rules", "1 wildcard", "10 wildcards", "100 wildcards", "10,000 flows", "rule updates",
    ]  # fmt: skip
    assert all(row.ours > 0 and (row.theirs or row.unit == "rules/s") for row in rows)
