"""The gso bench: both sides cut the same packets into the same segments, and lose no mbuf."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gso as bench
from benchmarks.harness import install
from burstline import dpdk
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError
from dpdk_live import alone

needs_dpdk = pytest.mark.skipif(
    not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
    reason="needs DPDK and a C compiler",
)
IP_CHECKSUM, TCP_CHECKSUM = slice(24, 26), slice(50, 52)  # in a frame


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the C loop is compiled, once."""
    return tmp_path_factory.mktemp("bench")


def loop(cache: Path) -> tuple[Any, Any]:
    """gso_loop and a Loop, in a process where DPDK runs."""
    from burstline.dpdk import eal

    eal.start(huge=False)
    from benchmarks.harness import gso_loop as made

    return made, made.Loop(install.shared_library("gso", cache, needs="libdpdk", compiler="gcc"))


def frames(data: bytes, without: bool) -> list[bytes]:
    """Those of a sample; `without` what a port fills in."""
    found = []
    while data:
        size = int.from_bytes(data[:2], "little")
        frame, data = bytearray(data[2 : 2 + size]), data[2 + size :]
        if without:
            frame[IP_CHECKSUM] = frame[TCP_CHECKSUM] = b"\0\0"
        found.append(bytes(frame))
    return found


def sides(cache: Path) -> tuple[list[int], int]:
    """How many segments each pair of sides made, which are the same; and mbufs that are not back."""
    made, started = loop(cache)
    compared = []
    with started as each:
        whole, received = made.Packets(each.large, made.PAYLOAD), made.Packets(each.received, made.SEGSZ)
        for ours, theirs, packets, filled in (
            (each.ours(0), "dpdk_checksums", whole, True),
            (each.ours(0), "dpdk_checksums", received, True),
            (each.ours(3), "dpdk_segment", whole, False),
            (each.ours(3, copied=True), "dpdk_copies", whole, False),
        ):
            for seed in (1, 2, 12345):
                found = [frames(each.sample(s, packets, seed), not filled) for s in (ours, each.dpdk(theirs))]
                assert found[0] == found[1]
                assert found[0] != frames(each.sample(ours, packets, seed + 1), not filled)
                compared.append(len(found[0]))
        pools = each.large, each.received, each.headers, each.indirect, each.copies
        return compared, sum(pool.in_use for pool in pools)


@needs_dpdk
def test_both_sides_make_the_same_segments_and_give_all_mbufs_back(cache: Path) -> None:
    assert alone(sides, cache) == ([45] * 12, 0)


def refused(cache: Path) -> str:
    """What is said of a side that does not cut."""
    made, started = loop(cache)
    with started as each:
        made.gso.Segmenter = partial(made.gso.Segmenter, largest=40)  # bytes, which are not enough for headers
        try:
            next(each.comparisons())[2](100)
        except BurstlineError as error:
            pools = each.large, each.headers, each.indirect
            return f"{error.message}; {sum(pool.in_use for pool in pools)} mbufs are not back"
    return ""


@needs_dpdk
def test_a_side_that_does_not_cut_gets_no_figure(cache: Path) -> None:
    assert alone(refused, cache) == "packets were not cut; 0 mbufs are not back"


def rows_of(cache: Path) -> tuple[list[Row], list[str], list[str]]:
    from burstline.dpdk import eal

    eal.start(huge=False)
    options = Options("gso", quick=True, cache=cache, say=lambda text: None)
    return list(bench.run(options)), [lack.peer for lack in options.missing], options.failures


@needs_dpdk
def test_each_comparison_that_is_promised_has_a_row(cache: Path) -> None:
    rows, missing, failures = alone(rows_of, cache)
    assert (missing, failures) == ([], [])
    assert [(row.case, row.peer) for row in rows] == [
        ("shared, from one mbuf", "rte_gso"),
        ("restored, from 45 mbufs", "rte_gso"),
        ("shared, with checksums", "rte_gso and its checksums"),
        ("copied", "rte_gso and linearize"),
    ]
    assert all(row.ours > 0 and (row.theirs or 0) > 0 and row.bench == "gso" for row in rows)
