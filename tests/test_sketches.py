"""`CountMin` and `HyperLogLog`: within their error bounds, as good as Apache DataSketches, the same in both modes."""

from __future__ import annotations

import math
import random
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.errors import UsageError
from burstline.pipeline.needs import needs_of
from packet_corpus import corpus

quickly = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
STAGE = """
def look(pkt):
    by_flow.add(pkt)
    flows.add(pkt)
    sources.add(pkt.ipv4.src)
    sources.add(pkt.ipv6.src)
    numbers.add(pkt.eth.dst - pkt.length)
    estimates.add(by_flow.estimate(pkt) + by_source.add(pkt.ipv4.src, pkt.length))
    estimates.add(by_source.estimate(pkt.ipv6.dst) + by_number.add(pkt.length, 3))
    by_number.add(pkt.ipv6.src)
    if by_number.estimate(-1) > 0 or by_number.add(pkt.length == 60) > 9:
        return bl.DROP
"""


def sketches() -> dict[str, Any]:
    return {
        "estimates": bl.Counter("estimates"),
        "by_flow": bl.CountMin(16, 8),
        "by_source": bl.CountMin(300, 6),
        "by_number": bl.CountMin(40, 4, conservative=True),
        "flows": bl.HyperLogLog(4),
        "sources": bl.HyperLogLog(),
        "numbers": bl.HyperLogLog(18),
    }


NAMES = sketches()
PIPELINE = bl.Pipeline(stage_of(STAGE, **NAMES))
CORPUS = list(corpus().values())


def test_compiled_they_are_the_same_for_every_kind_of_packet() -> None:
    run_both(PIPELINE, CORPUS * 3).equal()
    assert NAMES["by_flow"].total == 3 * len(CORPUS)


@quickly
@given(st.lists(st.tuples(st.integers(0, 5), st.binary(min_size=14, max_size=70)), max_size=60))
def test_compiled_they_are_the_same_for_any_bytes(packets: list[tuple[int, bytes]]) -> None:
    heads = [b"", bytes(12) + b"\x08\0\x45", bytes(12) + b"\x86\xdd\x60", bytes(12) + b"\x08\x06", b"\1" * 12, b""]
    run_both(PIPELINE, [heads[k] + data for k, data in packets], out=None).equal()


def test_workers_are_merged(tmp_path: Path) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(CORPUS * 2))
    made = sketches()
    pipeline = bl.Pipeline(stage_of(STAGE, **made))
    read = []
    for workers in (1, 2):
        FileRun(pipeline, str(path), None, workers=workers).run()
        plain = [made[n].to_numpy().tolist() for n in ("by_flow", "by_source", "flows", "sources", "numbers")]
        read.append((plain, made["by_source"].total, made["flows"].estimate()))
        assert made["by_number"].estimate(60) >= 3 * 2 * sum(len(p) == 60 for p in CORPUS)
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("line", "keys"),
    [
        ("flows.add(pkt)", True),
        ("flows.add(pkt.outer)", True),
        ("same = pkt\n    flows.add(same)", True),
        ("flows.add(pkt if pkt.length else 0)", None),
        ("flows.add(pkt.ipv4.src)", False),
        ("size = pkt.length\n    flows.add(size)", False),
    ],
)
def test_flow_keys_are_made_only_where_a_packet_may_be_handed_over(line: str, keys: bool | None) -> None:
    pipeline = bl.Pipeline(stage_of(f"def look(pkt):\n    {line}\n", flows=bl.HyperLogLog()))
    assert keys is None or needs_of(pipeline).keys == keys
    if keys:
        run_both(pipeline, CORPUS).equal()


def streams() -> list[tuple[str, np.ndarray[Any, Any]]]:
    chance = np.random.default_rng(8)
    return [
        ("Zipf", chance.zipf(1.2, 200_000) & 0xFFFFFFFF),
        ("uniform", chance.integers(0, 20_000, 200_000)),
        ("one after another", np.arange(200_000) % 5000),
    ]


@pytest.mark.parametrize(("name", "stream"), streams(), ids=[name for name, _ in streams()])
@pytest.mark.parametrize(("width", "depth"), [(256, 4), (1024, 4), (4096, 6)])
def test_counts_are_within_the_bound_and_as_close_as_those_of_datasketches(
    name: str, stream: Any, width: int, depth: int
) -> None:
    peers = pytest.importorskip("datasketches")
    ours, careful = bl.CountMin(width, depth), bl.CountMin(width, depth, conservative=True)
    peer = peers.count_min_sketch(depth, width)
    keys, counts = np.unique(stream, return_counts=True)
    chance = random.Random(7)
    for key, count in chance.sample(list(zip(keys.tolist(), counts.tolist(), strict=True)), len(keys)):
        for sketch in (ours, careful):
            sketch.add(key, count)
        peer.update(key, count)
    excess = np.array([ours.estimate(k) for k in keys.tolist()]) - counts
    closer = np.array([careful.estimate(k) for k in keys.tolist()]) - counts
    others = np.array([peer.get_estimate(k) for k in keys.tolist()]) - counts
    bound = math.e * len(stream) / width
    assert (excess >= 0).all() and (closer >= 0).all()
    assert (closer <= excess).all()
    # Half as much again: the rows of a pair share their lines, and it is a sample.
    assert (excess > bound).mean() <= 1.5 * math.exp(-depth)
    assert excess.mean() <= 1.25 * others.mean() + 1
    assert ours.total == len(stream)
    rows = ours.to_numpy()
    assert rows.shape == (depth, ours.width) and (rows.sum(axis=1) == len(stream)).all()


@pytest.mark.parametrize("precision", [4, 8, 12, 14])
def test_distinct_keys_are_within_the_bound_and_as_close_as_those_of_datasketches(precision: int) -> None:
    peers = pytest.importorskip("datasketches")
    error = 1.04 / 2 ** (precision / 2)
    ours, others = [], []
    for count in (1, 10, 100, 1000, 5000, 20_000):
        for repeat in range(6):
            start = (repeat * 7919 + count) << 32
            sketch = bl.HyperLogLog(precision)
            peer = peers.hll_sketch(precision, peers.HLL_8)
            for key in range(start, start + count):
                sketch.add(key)
                peer.update(key)
            ours.append(sketch.estimate() / count - 1)
            others.append(peer.get_estimate() / count - 1)
    ours_size, others_size = (math.sqrt(sum(e * e for e in found) / len(found)) for found in (ours, others))
    assert max(map(abs, ours)) < 4 * error
    assert ours_size < 1.3 * error
    assert ours_size < 1.5 * others_size + 0.2 * error
    assert abs(sum(ours) / len(ours)) < error  # no bias


def test_many_distinct_keys_are_estimated_without_bias() -> None:
    """By registers drawn as those of a random set of so many keys, up to where 64 bits of hash end."""
    chance = np.random.default_rng(5)
    for count in (1e6, 1e9, 1e12):
        errors = []
        for _ in range(20):
            sketch = bl.HyperLogLog(10)
            shares = chance.poisson(count / 1024, 1024).astype(float)
            uniform = chance.random(1024)
            with np.errstate(divide="ignore"):  # of n keys, the largest rank is at most k with (1 - 2**-k)**n
                ranks = np.ceil(-np.log2(-np.expm1(np.log(uniform) / np.maximum(shares, 1)))).clip(1, 55)
            sketch._own = {k: int(rank) for k, rank in enumerate(ranks) if shares[k]}
            errors.append(sketch.estimate() / count - 1)
        assert abs(float(np.mean(errors))) < 1.04 / 32
        assert max(map(abs, errors)) < 4 * 1.04 / 32


def test_keys_that_are_the_same_count_once() -> None:
    seen = bl.HyperLogLog()
    for _ in range(50):
        for key in (5, bl.ip("0.0.0.5"), -1, (1 << 64) - 1, True, 1, IPv6Address(5)):
            seen.add(key)
    assert round(seen.estimate(), 2) == 4.0
    assert repr(seen) == "HyperLogLog(about 4 keys)"
    assert bl.HyperLogLog().estimate() == 0


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: bl.CountMin(3), "width 3 is out of range"),
        (lambda: bl.CountMin(100, 3), "depth 3 is no number of rows"),
        (lambda: bl.CountMin(100, 2), "depth 2 is no number of rows"),
        (lambda: bl.CountMin(100, 18), "depth 18 is no number of rows"),
        (lambda: bl.HyperLogLog(3), "precision is 3"),
        (lambda: bl.HyperLogLog(19), "precision is 19"),
    ],
)
def test_wrong_parameters_are_refused(made: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        made()
