"""The elephants bench: what its goals are, on the clock that packets bear."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import elephants
from benchmarks.harness import install
from burstline import dpdk
from burstline.cli.bench import Options, Row
from dpdk_live import alone

pytestmark = pytest.mark.skipif(
    not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
    reason="needs DPDK and a C compiler",
)


def rows(cache: Path) -> list[Row]:
    elephants.EXPONENTS = (1.0,)
    return list(elephants.run(Options("elephants", quick=True, cache=cache, say=lambda text: None)))


def test_the_true_top_hundred_are_found_in_time_and_in_the_memory_that_is_allowed(tmp_path: Path) -> None:
    found = alone(rows, tmp_path)
    shares = [row.ours for row in found if row.unit == "of 100"]
    assert len(shares) >= 6
    assert all(99 <= share <= 100 for share in shares)
    assert all(row.ours * 1e6 <= 256 << 10 for row in found if row.unit == "MB")
    assert all(0 < row.ours <= 10 for row in found if row.unit == "ms")
    assert {row.case for row in found if row.unit == "cycles/packet" and row.ours > 0 and row.theirs} == {
        "Zipf 1.0, hashes given", "Zipf 1.0, hashing keys",
    }  # fmt: skip
