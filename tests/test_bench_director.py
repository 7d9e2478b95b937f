"""The director bench: both sides hand on packets without end, and nothing of ours is lost meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import director
from benchmarks.harness import install
from benchmarks.harness.process import cores
from burstline import dpdk
from burstline.cli.bench import Options, Row
from dpdk_live import alone

pytestmark = pytest.mark.skipif(
    not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
    reason="needs DPDK and a C compiler",
)
two_cores = pytest.mark.skipif(len(cores()) < 2, reason="needs two cores")


def rows(cache: Path) -> tuple[list[Row], int]:
    options = Options("director", quick=True, cache=cache, say=lambda text: None)
    return list(director.run(options)), len(options.failures)


@two_cores
def test_each_set_of_rules_has_a_row_and_no_packet_is_lost(tmp_path: Path) -> None:
    found, failures = alone(rows, tmp_path)
    assert not failures
    assert [row.case for row in found] == [
        director.CASE, f"{director.CASE}, 10,000 rules for flows", f"{director.CASE}, 10 others, too", "rule updates",
    ]  # fmt: skip
    assert all(row.ours > 0 and (row.theirs or row.peer is None) for row in found)
