"""`Set` and `Map` against Python's own, through fills, refusals and removals, in both modes, at all levels."""

from __future__ import annotations

import random
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.engine.offline import FileRun
from burstline.errors import UsageError
from burstline.simd import level
from burstline.state.hash_buckets import LANES, LINE, PASSED, TAKEN, Buckets

WORD = (1 << 64) - 1
# What is done is in the last byte of the destination, with what key in the source, as a number and as an address.
STAGE = """
def work(pkt):
    what, key, amount = pkt.eth.dst & 15, KEY, pkt.eth.dst >> 8
    if what == 0:
        said.add(seen.add(key))
    elif what == 1:
        said.add(seen.discard(key) * 3)
    elif what == 2:
        tries[key] = amount
    elif what == 3:
        tries[key] += amount
    elif what == 4:
        said.add(tries.add(key, amount))
    elif what == 5:
        said.add(tries.pop(key, -9))
    elif what == 6:
        said.add(tries.get(key, 3) + tries[key] * 5)
    elif what == 7:
        said.add(tries.discard(key) + len(tries) * 7 + len(seen) * 11)
    else:
        said.add(seen.add(key) * 2 + tries.add(key))
    if key in seen:
        said.add(amount & 0xFFFF)
    if key in tries:
        return bl.drop("there")
"""


def frames(chance: random.Random, count: int, keys: int, removals: bool) -> list[bytes]:
    """IPv6 and IPv4 packets whose sources are few, and frames of neither."""
    found = []
    for _ in range(count):
        what = chance.randrange(9 if removals else 5)
        head = chance.randrange(1 << 40).to_bytes(5, "big") + bytes([what])
        key = chance.randrange(keys)
        wide = (key * 0x9E3779B97F4A7C15 & WORD) << 64 | (key & 1) * 0xFFFF_0000 | key >> 1
        head += key.to_bytes(6, "big")
        v4 = b"\x45\0\0\x14\0\0\0\0\x40\x3b\0\0" + wide.to_bytes(16, "big")[-4:] + bytes(4)
        v6 = b"\x60\0\0\0\0\0\x3b\x40" + wide.to_bytes(16, "big") + bytes(16)
        found.append(head + chance.choice([b"\x08\0" + v4, b"\x86\xdd" + v6, b"\x88\xb5" + bytes(20)]))
    return found


KEYS: dict[str, tuple[Any, str]] = {
    "numbers": (bl.i64, "pkt.eth.src - 20"),
    "numbers and IPv4": (bl.i64, "pkt.ipv4.src"),
    "IPv4": (bl.ipv4, "pkt.ipv4.src"),
    "IPv6": (bl.ipv6, "pkt.ipv6.src"),
}
# Compiled once each: a capacity and what Python puts in are no part of the code.
OBJECTS = {name: (bl.Counter("said"), key, expression) for name, (key, expression) in KEYS.items()}


def pipeline_of(name: str, capacity: int) -> tuple[bl.Pipeline, bl.Set, bl.Map]:
    said, key, expression = OBJECTS[name]
    seen, tries = bl.Set(capacity, key=key), bl.Map(capacity, key=key)
    source = STAGE.replace("KEY", expression)
    return bl.Pipeline(stage_of(source, said=said, seen=seen, tries=tries)), seen, tries


@pytest.mark.parametrize(
    ("name", "simd"),
    [*((name, level.known()[-1]) for name in KEYS), *((n, s) for n in ("IPv4", "IPv6") for s in level.known()[:-1])],
)
def test_compiled_they_do_what_pythons_do(name: str, simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    chance = random.Random(simd + name)
    refused = 0
    for capacity, keys, removals in ((1, 3, True), (20, 64, True), (30, 60, True), (40, 40, True), (300, 500, False)):
        pipeline, seen, tries = pipeline_of(name, capacity)
        run_both(pipeline, frames(chance, 3000, keys, removals), out=None).equal()
        refused += seen.refused + tries.refused
    assert refused > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.integers(0, 40), st.integers(0, (1 << 128) - 1)), max_size=150, unique=True),
    st.sampled_from([1, 2]),
    st.sampled_from([0, 1]),
)
def test_a_filled_table_has_its_keys_where_a_search_finds_them(keys: list[int], words: int, values: int) -> None:
    entries = {key & (1 << 64 * words) - 1: k for k, key in enumerate(keys)}
    table = Buckets(max(len(entries), 1), words, values)
    table.fill(entries)
    places = {}
    for key, value in entries.items():
        place = table.find(key)
        assert place is not None
        places[key] = place
        assert table.value(place) == value or not values
    assert len(set(places.values())) == len(entries)
    assert table.find((1 << 64 * words) - 2) is None or (1 << 64 * words) - 2 in entries
    check_buckets(table, places)


def check_buckets(table: Buckets, places: dict[int, tuple[int, int]]) -> None:
    """Each bucket has as many keys as it says, and as many have gone past it as it says."""
    taken, passed = [0] * table.count, [0] * table.count
    for key, (bucket, lane) in places.items():
        assert not taken[bucket] >> lane & 1
        taken[bucket] |= 1 << lane
        at = table._home(key)
        while at != bucket:
            passed[at] += 1
            at = (at + 1) % table.count
    assert [int(line[0, 0]) & TAKEN for line in table._lines()] == taken
    assert [int(line[0, 0]) // PASSED for line in table._lines()] == passed


@pytest.mark.parametrize("name", ["numbers", "IPv6"])
def test_removals_leave_nothing_behind(name: str, tmp_path: Path) -> None:
    chance = random.Random(name)
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(frames(chance, 20_000, 90, removals=True)))
    pipeline, seen, tries = pipeline_of(name, 60)
    for workers in (1, 2):
        FileRun(pipeline, str(path), None, workers=workers).run()
        assert seen.refused > 0 or workers > 1
        passed = 0
        for state in (seen, tries):
            for table in state._workers:
                keys, _ = table.read()
                numbers = [state.number(k) if name == "numbers" else k for k in state._numbers(keys)]
                places = {key: table.find(key) for key in numbers}
                assert None not in places.values()
                assert len(places) == len(keys) == table.head.get("used")
                check_buckets(table, places)  # type: ignore[arg-type]
                passed += sum(int(line[0, 0]) // PASSED for line in table._lines())
        assert passed > 0


def test_a_table_keeps_its_bounds_and_takes_one_line_a_bucket() -> None:
    table = Buckets(1000, 1, 0)
    assert table.stride == LINE
    assert 1000 / 0.76 < LANES * table.count < 1000 / 0.74
    assert Buckets(1, 2, 1).stride == 3 * LINE


def test_what_python_puts_in_is_there_in_every_run() -> None:
    wanted, labels = bl.Set(10, key=bl.ipv4), bl.Map(10)
    wanted.update(IPv4Address(k) for k in (1, 2, 3))
    wanted.add(IPv4Address(9))
    labels[7] = 70
    labels[8] = 80
    source = """
def look(pkt):
    if pkt.ipv4.src in wanted:
        wanted.discard(pkt.ipv4.src)
        labels.add(7, 5)
        labels.discard(8)
        return bl.DROP
"""
    pipeline = bl.Pipeline(stage_of(source, wanted=wanted, labels=labels))
    packets = [bytes(12) + b"\x08\0\x45" + bytes(11) + k.to_bytes(4, "big") + bytes(4) for k in (2, 9, 2, 4, 9)]
    for _ in range(2):
        outcome = run_both(pipeline, packets).equal()
        assert outcome.counts["drops"] == {"look": (2, 68)}
        assert list(wanted) == [IPv4Address(1), IPv4Address(3)]
        assert list(labels.items()) == [(7, 80)]


def test_workers_are_merged(tmp_path: Path) -> None:
    seen, sums, last = bl.Set(100), bl.Map(100), bl.Map(100, merge="max")
    sums[3] = 1000
    last[5] = -4
    source = """
def work(pkt):
    key = pkt.ipv4.dst
    seen.add(key)
    sums[key] += pkt.length
    if pkt.time > last.get(key, 0):
        last[key] = pkt.time
"""
    pipeline = bl.Pipeline(stage_of(source, seen=seen, sums=sums, last=last))
    chance = random.Random(3)
    keys = [chance.randrange(40) for _ in range(600)]
    head = bytes(12) + b"\x08\0\x45\0\0\x1c" + bytes(5) + b"\x11\0\0"
    packets = [
        head + chance.randbytes(4) + k.to_bytes(4, "big") + chance.randbytes(4) + b"\0\x08\0\0" for k in keys
    ]  # many flows to each key, so that all workers have it
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(packets))
    size, start = len(packets[0]), 1_700_000_000 * 10**9
    wanted = {k: keys.count(k) * size + (1000 if k == 3 else 0) for k in {*keys, 3}}
    latest = {k: start + 1000 * max(i for i, key in enumerate(keys) if key == k) for k in keys} | (
        {} if 5 in keys else {5: -4}
    )
    for workers in (1, 2):
        FileRun(pipeline, str(path), None, workers=workers).run()
        assert list(seen) == sorted(set(keys))
        assert len(seen) == len(set(keys))
        assert (dict(sums.items()), dict(last.items())) == (wanted, latest)
        assert {k: sums[k] for k in wanted} == wanted
        assert {k: last.get(k, 0) for k in latest} == latest
        assert sums.to_numpy()["value"].tolist() == [wanted[k] for k in sorted(wanted)]
        assert (IPv4Address(keys[0]) in seen, 77 in seen, sums.get(77, 5)) == (True, False, 5)
    with pytest.raises(UsageError, match=r"each worker has a Set of its own"):
        seen.add(1)
    with pytest.raises(UsageError, match=r"each worker has a Map of its own"):
        sums[1] = 1


def test_python_reads_keys_as_what_they_are() -> None:
    numbers, v4, v6 = bl.Set(9), bl.Set(9, key=bl.ipv4), bl.Map(9, key=bl.ipv6)
    numbers.update([5, -1, (1 << 64) - 2, IPv4Address("0.0.0.9"), True])
    assert list(numbers) == [-2, -1, 1, 5, 9]
    assert numbers.to_numpy().tolist() == [-2, -1, 1, 5, 9]
    assert -1 in numbers and (1 << 64) - 1 in numbers
    v4.update([bl.ip("192.0.2.1"), bl.ip("10.0.0.1")])
    assert list(v4) == [bl.ip("10.0.0.1"), bl.ip("192.0.2.1")]
    assert v4.to_numpy().dtype == np.dtype("u4")
    high, low = IPv6Address("ffff::1"), IPv6Address("2001:db8::1")
    v6.update({high: 1, low: -2})
    assert list(v6.items()) == [(low, -2), (high, 1)]
    assert v6.to_numpy()["key"].tobytes() == low.packed + high.packed
    assert (repr(v4), repr(v6)) == ("Set of 2 keys", "Map of 2 keys")
    for table, key in ((numbers, low), (v4, low), (v4, 5), (v6, bl.ip("10.0.0.1")), (numbers, 1.5)):
        with pytest.raises(TypeError):
            assert key in table


def test_a_full_one_says_so() -> None:
    seen = bl.Set(3)
    outcome = run_both([stage_of("def work(pkt):\n    seen.add(pkt.eth.src)", seen=seen)], [
        bytes(11) + bytes([k % 5]) + bytes(8) for k in range(20)
    ]).equal()  # fmt: skip
    assert seen.refused == 8
    warning = "a Set is full: 8 times a key was left out; raise capacity above 3"
    assert outcome.report.warnings == [warning]
    fresh = bl.Set(3)
    with pytest.raises(UsageError, match=r"3 keys are in, and there is one more"):
        fresh.update(range(4))


@pytest.mark.parametrize(
    ("made", "match"),
    [
        (lambda: bl.Set(0), "Set capacity 0 is out of range"),
        (lambda: bl.Map(1 << 31), "Map capacity 2147483648 is out of range"),
        (lambda: bl.Set(5, key=bl.u8), "has no keys of"),
        (lambda: bl.Map(5, merge="last"), "merge is 'last'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_parameters_are_refused(made: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        made()
