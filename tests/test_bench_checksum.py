"""The checksum bench: all sides find the same packets right and wrong, and each comparison has a row."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import checksum
from benchmarks.harness import install
from burstline.cli.bench import Options
from burstline.offload.checksums.checksums import Checksums, verify
from burstline.state.region import Block, Region

pytestmark = pytest.mark.skipif(
    install.program("gcc") is None or install.package_flags("libdpdk") is None, reason="needs DPDK and gcc"
)
STRIDE, COUNT, SIZE = 128, 64, 100


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def loop(cache: Path) -> Any:
    return checksum._library("gcc", Options("checksum", cache=cache))


@pytest.mark.parametrize("copies", [1, 0])
@pytest.mark.parametrize("at", [None, 20, 40, 99])
def test_all_sides_find_the_same_packets_wrong(loop: Any, copies: int, at: int | None) -> None:
    n = ctypes.c_int64
    packets, ring = Region(COUNT * STRIDE), Region(checksum.RING * checksum.ROOM)
    times, state = Region(8 * COUNT), Block(Checksums.layout)
    loop.make_packets(n(packets.address), n(STRIDE), n(COUNT), n(SIZE))
    held = packets.numpy("u1", COUNT * STRIDE).reshape(COUNT, STRIDE)
    assert len(np.unique(held[:, 54:SIZE], axis=0)) == COUNT
    if at is not None:
        held[7, at] ^= 4
    for side in (ctypes.c_void_p(verify.address), loop.dpdk_verify):
        ns = loop.drive(
            side, n(state.address), n(packets.address), n(STRIDE), n(COUNT), n(SIZE), n(ring.address),
            n(checksum.ROOM), n(copies), ctypes.c_void_p(times.address),
        )  # fmt: skip
        assert ns > 0 if at is None else ns == -1
    assert state.get("bad") == (at is not None)


def test_each_size_has_a_row_for_each_side(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checksum, "SIZES", (64, 1500))
    monkeypatch.setattr(checksum, "PACKETS", 1 << 12)
    options = Options("checksum", quick=True, cache=cache, say=lambda text: None)
    rows = list(checksum.run(options))
    sides = {"the loop alone", *(f"DPDK by {name}" for name in ("gcc", "clang") if install.program(name))}
    assert {row.peer for row in rows} == sides
    assert len(rows) == 2 * 2 * len(sides)
    assert {row.case.split(" bytes")[0] for row in rows} == {"64", "1,500"}
    assert all(row.ours > 0 and row.theirs and row.unit == "ns/packet" for row in rows)
