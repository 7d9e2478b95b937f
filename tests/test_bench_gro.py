"""The gro bench: both sides merge the same packets and lose none."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gro
from benchmarks.harness import install
from burstline import dpdk
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError
from dpdk_live import alone

pytestmark = pytest.mark.skipif(
    not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
    reason="needs DPDK and a C compiler",
)


def sides(cache: Path) -> dict[str, int]:
    """How many packets come out of a lap of 1,024, by who merged them; -1 where the loop saw a loss."""
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool

    eal.start(huge=False)
    from benchmarks.harness import gro_loop as made

    found: dict[str, int] = {}
    with Pool(made.BUFFERS + 1023) as pool:
        loop = made.Loop(ctypes.CDLL(str(install.shared_library("gro", cache, needs="libdpdk"))), pool)
        traffic = made.Traffic(8, 128, 1024, 3)

        def left(name: str, side: Any) -> None:
            try:
                time, found[name] = loop.time(side, traffic, 1)
                assert time > 0
            except BurstlineError:
                found[name] = -1
            side.close()

        left("ours, by bursts", loop.ours(hold=False))
        left("ours, held", loop.ours(hold=True))
        left("burst API", loop.burst_api(8, 16))
        left("context API", loop.context_api(8))
        held = loop.ours(hold=True)
        left("ours, never let go", made.Side(held.merge, None, held.state, held))
        loop.close()
    return found


def test_both_sides_merge_the_same_and_a_loss_is_seen(tmp_path: Path) -> None:
    found = alone(sides, tmp_path)
    assert found["ours, by bursts"] == found["burst API"] == 8 * 8
    assert found["ours, held"] == 8 * 3  # 128 packets of a flow, of which 45 fit one
    assert found["context API"] > 0
    assert found["ours, never let go"] == -1


def rows(cache: Path) -> tuple[list[Row], list[str]]:
    gro.PACKETS = 1 << 17
    options = Options("gro", quick=True, cache=cache, say=lambda text: None)
    return list(gro.run(options)), options.failures


def test_each_number_of_flows_has_its_row(tmp_path: Path) -> None:
    found, failures = alone(rows, tmp_path)
    assert failures == []
    assert [(row.case, row.peer) for row in found] == [
        ("1 flow, by bursts", "rte_gro_reassemble_burst"),
        ("1 flow, by bursts, in cache", "rte_gro_reassemble_burst"),
        ("64 flows, by bursts", "rte_gro_reassemble_burst"),
        ("64 flows, by bursts, in cache", "rte_gro_reassemble_burst"),
        ("1,024 flows, held", "rte_gro_reassemble"),
        ("4,096 flows, held", "rte_gro_reassemble"),
        ("4,096 flows, held", "ours with 1 flow"),
    ]
    assert all(row.ours > 0 and row.theirs is not None and row.theirs > 0 for row in found)
