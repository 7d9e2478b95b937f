"""`HeavyHitters`: beside exact counts of the same windows; compiled as in plain Python; read while a worker writes."""

from __future__ import annotations

import random
import threading
from collections import Counter
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
from burstline.native.kernel import Kernel
from burstline.packet.burst import Burst
from burstline.packet.flow_key import KEY_SIZE, flow_hash
from burstline.pipeline.needs import needs_of
from burstline.state.heavy_head import ENTRY, MOST_ADDED, HeavyHead, Sketch
from burstline.state.heavy_hitters import Elephant, HeavyHitters
from burstline.state.heavy_plain import PlainSketch
from burstline.state.heavy_read import Reader
from burstline.state.region import Region
from heavy_burst_kernel import PACKETS
from packet_corpus import corpus

quickly = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
WINDOW = 10_000_000  # ns
ADDRESSES = {"tags", "counts", "before", "levels", "ring"}
add_packets = Kernel("burstline.state.heavy_hitters_kernel:add_packets", *[int] * 6)
add_lengths = Kernel("burstline.state.heavy_hitters_kernel:add_lengths", *[int] * 6)
add_one = Kernel("burstline.state.heavy_hitters_kernel:add", *[int] * 5)
CORPUS = list(corpus().values())


class Stream:
    """Packets of numbered flows, with hashes and keys as arrays that compiled code reads."""

    def __init__(self, flows: Any, seed: int = 0) -> None:
        self.flows = np.asarray(flows, "u4")
        self.hash_of = np.random.default_rng(seed).integers(0, 1 << 64, int(self.flows.max(initial=0)) + 1, "u8")
        self.hashes = self.hash_of[self.flows]
        self.keys = np.zeros((len(self.flows), KEY_SIZE), "u1")
        self.keys[:, :4] = self.flows.view("u1").reshape(-1, 4)
        self.lengths = np.full(len(self.flows), 1, "u4")

    def compiled(self, sketch: Sketch, first: int, count: int, time: int, lengths: bool = False) -> None:
        add = add_lengths if lengths else add_packets
        arrays = (self.hashes, self.keys, self.lengths)
        add(sketch.address, *(a[first:].ctypes.data for a in arrays), count, time)

    def plain(self, sketch: PlainSketch, first: int, count: int, time: int) -> None:
        part = slice(first, first + count)
        keys = [key.tobytes() for key in self.keys[part]]
        sketch.add_many(self.hashes[part].tolist(), keys, self.lengths[part].tolist(), time)


def flow_of(elephant: Elephant) -> int:
    return int.from_bytes(elephant.key[:4], "little")


def contents(sketch: Sketch) -> dict[str, Any]:
    """All that a sketch holds but levels, which only spare work, and where things lie."""
    found: dict[str, Any] = {s.name: sketch.get(s.name) for s in HeavyHead.layout if s.name not in ADDRESSES}
    for name in ("tags", "counts", "before"):
        found[name] = sketch.region.read(sketch.get(name) - sketch.address, 4 * sketch.flows)
    return found | {"ring": sketch.region.read(sketch.at["ring"], ENTRY * sketch.ring)}


def zipf(count: int, flows: int, exponent: float, seed: int) -> Any:
    weights = np.cumsum(1 / np.arange(1, flows + 1) ** exponent)
    return np.searchsorted(weights, np.random.default_rng(seed).random(count) * weights[-1]).astype("u4")


def score(found: list[Elephant], flows: Any, most: int = 100) -> float:
    """Precision among exact counts, which is recall, too: as many are found as are wanted. Ties are right."""
    counts = np.bincount(flows)
    last = np.sort(counts)[-most:][0]
    assert len(found) == most
    return sum(counts[flow_of(e)] >= last for e in found) / most


@quickly
@given(st.integers(0, 1 << 32), st.integers(1, 2000), st.booleans(), st.sampled_from([256, 512]))
def test_compiled_and_plain_sketches_hold_the_same_bytes(seed: int, flows: int, lengths: bool, places: int) -> None:
    chance = random.Random(seed)
    stream = Stream([int(flows * chance.random() ** 4) for _ in range(1500)], seed)
    if lengths:
        stream.lengths[:] = [chance.choice((0, 60, 1514, MOST_ADDED, 1 << 30)) for _ in stream.flows]
    one, two = Sketch(places, 64, WINDOW), Sketch(places, 64, WINDOW)
    plain, first, time = PlainSketch(two), 0, chance.choice((0, -5, 1 << 60, (1 << 63) - 1))
    while first < len(stream.flows):
        count = min(chance.choice((1, 7, 63, 64, 65, 256)), len(stream.flows) - first)
        stream.compiled(one, first, count, time, lengths)
        stream.plain(plain, first, count, time)
        time = min(time + chance.choice((0, 1000, WINDOW // 3, WINDOW, 5 * WINDOW)), (1 << 63) - 1)
        first += count
    assert contents(one) == contents(two)


@quickly
@given(st.integers(0, 1 << 32), st.integers(1, 500))
def test_packets_one_by_one_are_chunks_of_one(seed: int, flows: int) -> None:
    chance, stream = random.Random(seed), Stream([0])
    stream = Stream([int(flows * chance.random() ** 3) for _ in range(800)], seed)
    stream.lengths[:] = [chance.choice((0, 1, 60, 1 << 25)) for _ in stream.flows]
    one, two = Sketch(256, 64, WINDOW), Sketch(256, 64, WINDOW)
    plain = PlainSketch(two)
    for k in range(len(stream.flows)):
        time = k * chance.choice((1000, WINDOW // 300))
        hash = int(stream.hashes[k : k + 1].view("i8")[0])
        counted = add_one(one.address, hash, stream.keys[k:].ctypes.data, int(stream.lengths[k]), time)
        stream.compiled(two, k, 1, time, True)
        assert counted == plain.count(hash)
    assert contents(one) == contents(two)


@quickly
@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3 * WINDOW // 2)), min_size=1, max_size=200))
def test_while_all_flows_have_a_place_counts_are_exact(packets: list[tuple[int, int]]) -> None:
    stream, sketch = Stream([flow for flow, _ in packets], 1), Sketch(256, 1024, WINDOW)
    by_window: dict[int, Counter[int]] = {}
    time = 0
    for k, (flow, passed) in enumerate(packets):
        time += passed
        stream.compiled(sketch, k, 1, time)
        by_window.setdefault(time // WINDOW, Counter())[flow] += 1
    reader = Reader(sketch)
    last = time // WINDOW
    for now in (time, last * WINDOW, (last + 1) * WINDOW, (last + 1) * WINDOW + WINDOW // 4, (last + 3) * WINDOW):
        exact = {}
        for flow in range(16):
            counts = [by_window.get(last - k, Counter())[flow] for k in (0, 1)]
            past = (now - last * WINDOW) / WINDOW
            amount = counts[0] + counts[1] * (1 - past) if past <= 1 else counts[0] * max(0, 2 - past)
            if amount:
                exact[int(stream.hash_of[flow])] = pytest.approx(amount)
        assert reader.amounts(now) == exact


@pytest.mark.parametrize("exponent", [1.0, 1.1, 1.2, 1.3])
def test_the_top_100_of_a_million_flows_are_found_in_every_window(exponent: float) -> None:
    stream = Stream(zipf(500_000, 1_000_000, exponent, 3))
    elephants = HeavyHitters()
    elephants.attach()
    sketch, found = next(elephants.readers()).sketch, []
    for window in range(5):
        for first in range(window * 100_000, (window + 1) * 100_000, 64):
            count = min(64, (window + 1) * 100_000 - first)
            stream.compiled(sketch, first, count, first * 100)
        top = elephants.top(now=(window + 1) * WINDOW)
        found.append(score(top, stream.flows[window * 100_000 :][:100_000]))
        assert sum(e.amount for e in top) == pytest.approx(sum(e.rate for e in top) / 100)
    assert np.mean(found) >= 0.99 and min(found) >= 0.97, found


def test_elephants_that_begin_at_once_and_come_in_trains_are_found_within_ten_milliseconds() -> None:
    flows, onset, chance = zipf(400_000, 1_000_000, 1.1, 4), 137_000, np.random.default_rng(5)
    begun = 600_000 + np.arange(30)
    trains = np.sort(chance.choice(np.arange(onset, 400_000 - 32, 32), 30 * 60, replace=False))
    for k, at in enumerate(trains):  # each has 0.7 % of the packets
        flows[at : at + 32] = begun[k % 30]
    stream = Stream(flows)
    elephants = HeavyHitters()
    elephants.attach()
    sketch, seen = next(elephants.readers()).sketch, dict[int, int]()
    for first in range(0, 400_000, 64):
        stream.compiled(sketch, first, 64, first * 100)
        for key in elephants.new():
            seen.setdefault(int.from_bytes(key[:4], "little"), first + 64)
    for flow in begun:
        first_packet = int(np.flatnonzero(flows == flow)[0])
        assert seen[int(flow)] - first_packet <= 100_000
    assert score(elephants.top(now=4 * WINDOW), flows[300_000:]) >= 0.99


def test_what_a_newcomer_lost_before_it_was_admitted_is_made_up_for_on_average() -> None:
    """Of a flow with 40 packets among mice that keep its set full, 40 are found on average: RAP's promise."""
    found = []
    for seed in range(400):
        chance = random.Random(seed)
        flows = [1000 + k for k in range(400)] + [1] * 40
        chance.shuffle(flows)
        stream, sketch = Stream(flows, seed), Sketch(256, 1024, WINDOW)
        stream.hashes[:] &= (1 << 60) - 1  # all in the first set
        sketch.set("chance", seed << 20)
        for k in range(len(flows)):
            stream.compiled(sketch, k, 1, 5)
        tags = sketch.region.numpy("u4", 16, sketch.at["tags"])
        counts = sketch.region.numpy("u4", 16, sketch.get("counts") - sketch.address)
        found.append(int(counts[tags == stream.hash_of[1] & 0xFFFFFFFF].sum()))
    assert abs(np.mean(found) - 40) < 4 * np.std(found) / 20


def test_what_stopped_is_no_elephant_any_more_and_rates_follow() -> None:
    elephants = HeavyHitters()
    elephants.attach()
    sketch = next(elephants.readers()).sketch
    stream = Stream([1] * 1000 + [2] * 500 + [3] * 10)
    stream.compiled(sketch, 0, 1000, 0)
    stream.compiled(sketch, 1000, 500, WINDOW)
    assert [(flow_of(e), e.amount, e.rate) for e in elephants.top(now=WINDOW)] == [(1, 1000, 1e5), (2, 500, 5e4)]
    assert [flow_of(e) for e in elephants.top(now=WINDOW + WINDOW // 4)] == [1, 2]
    assert [flow_of(e) for e in elephants.top(now=WINDOW + 3 * WINDOW // 4)] == [2, 1]
    stream.compiled(sketch, 1500, 10, 4 * WINDOW)
    assert [(flow_of(e), e.amount) for e in elephants.top()] == [(3, 10)]
    assert elephants.top(now=9 * WINDOW) == []


def test_what_a_flow_has_in_a_window_is_told_also_when_the_window_counts_no_more() -> None:
    stream, sketch = Stream([0, 1]), Sketch(256, 64, WINDOW)
    hashes = [int(hash) for hash in stream.hashes.view("i8")]

    def add(flow: int, n: int, time: int = 5) -> int:
        return add_one(sketch.address, hashes[flow], stream.keys[flow:].ctypes.data, n, time)

    assert [add(0, 7), add(0, 5), add(0, 0)] == [7, 12, 12]
    sketch.set("total", 1 << 30)
    assert [add(0, 9), add(1, 9)] == [12, 0]
    assert [add(0, 3, WINDOW), add(1, 9, WINDOW)] == [3, 9]


def test_a_reader_beside_a_worker_sees_whole_keys_and_counts_that_can_be() -> None:
    stream = Stream(zipf(1 << 18, 50_000, 1.1, 6))
    elephants = HeavyHitters(20)
    elephants.attach()
    sketch = next(elephants.readers()).sketch
    most = np.bincount(stream.flows)
    done = threading.Event()

    def work() -> None:
        for turn in range(60):
            for first in range(0, 1 << 18, 4096):
                stream.compiled(sketch, first, 4096, turn * 26_214_400 + first * 100)
        done.set()

    add_packets.load()
    worker, looks = threading.Thread(target=work), 0
    worker.start()
    while not done.is_set():
        elephants.new()
        for elephant in elephants.top():
            assert stream.hash_of[flow_of(elephant)] == elephant.hash
            assert elephant.amount <= 2 * most[flow_of(elephant)] + 4096
        looks += 1
    worker.join()
    assert looks > 1 and len(elephants.top()) == 20


def test_a_reader_that_comes_too_late_says_how_much_it_missed() -> None:
    sketch, stream = Sketch(4096, 64, WINDOW), Stream(range(100))
    reader = Reader(sketch)
    for k in range(100):
        stream.compiled(sketch, k, 1, k // 25 * WINDOW)
    listed = sketch.get("listed")
    assert listed == 100
    assert len(reader.drain()) == 63 and reader.missed == listed - 63
    assert reader.drain() == []


def test_a_burst_is_added_by_its_columns() -> None:
    chance, burst, region = random.Random(3), Burst(PACKETS), Region(Burst(PACKETS).size)
    stream = Stream([chance.randrange(40) for _ in range(PACKETS)])
    stream.lengths[:] = [chance.randrange(60, 1500) for _ in stream.flows]
    for name, array in (("hash", stream.hashes), ("key", stream.keys), ("length", stream.lengths)):
        region.write(burst.offsets[name], array.tobytes())
    for lengths, name in ((False, "add_packets_of"), (True, "add_lengths_of")):
        one, two = Sketch(256, 64, WINDOW), Sketch(256, 64, WINDOW)
        Kernel(f"heavy_burst_kernel:{name}", int, int, int, int)(one.address, region.address, PACKETS, 7)
        stream.compiled(two, 0, PACKETS, 7, lengths)
        assert contents(one) == contents(two)


STAGE = """
def look(pkt):
    told.add(packets.add(pkt))
    told.add(octets.add(pkt, pkt.length))
    some.add(pkt, pkt.length - 70)
"""


def state() -> dict[str, Any]:
    return {
        "packets": bl.HeavyHitters(),
        "octets": bl.HeavyHitters(8, flows=256, window=0.0001),
        "some": bl.HeavyHitters(),
        "told": bl.Histogram("what add told"),
    }


def test_in_stages_they_are_the_same_for_every_kind_of_packet() -> None:
    made = state()
    run_both(bl.Pipeline(stage_of(STAGE, **made)), CORPUS * 5).equal()
    assert sum(e.amount for e in made["packets"].top(1000)) == 5 * len(CORPUS)


@quickly
@given(st.lists(st.tuples(st.integers(0, 3), st.binary(min_size=14, max_size=70)), max_size=60))
def test_in_stages_they_are_the_same_for_any_bytes(packets: list[tuple[int, bytes]]) -> None:
    heads = [b"", bytes(12) + b"\x08\0\x45", bytes(12) + b"\x86\xdd\x60", bytes(12) + b"\x08\x06"]
    run_both(bl.Pipeline(stage_of(STAGE, **state())), [heads[k] + data for k, data in packets], out=None).equal()


def test_workers_are_merged_and_flows_are_readable(tmp_path: Path) -> None:
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of(CORPUS * 4))
    found = []
    for workers in (1, 2):
        made = state()
        FileRun(bl.Pipeline(stage_of(STAGE, **made)), str(path), None, workers=workers).run()
        found.append(made["packets"].top(1000))
    assert found[0] == found[1] and len(found[0]) > 10
    for elephant in found[0]:
        assert flow_hash(elephant.key) == elephant.hash
    assert {e.src is None for e in found[0]} == {True, False}
    assert any(e.proto == 6 and e.dport and ":" in (e.src or "") for e in found[0])


def test_a_pipeline_with_one_needs_keys_and_times() -> None:
    needs = needs_of(bl.Pipeline(stage_of("def look(pkt):\n    e.add(pkt)\n", e=bl.HeavyHitters())))
    assert needs.keys and needs.time


def test_memory_is_at_most_256_kilobytes_a_worker() -> None:
    elephants = HeavyHitters()
    elephants.attach()
    region = next(elephants.readers()).sketch.region
    assert elephants.size == region.size <= 256 * 1000
    assert elephants.about() == f"the top 100 of 8,192 flows, {region.size:,} bytes"
    assert repr(elephants) == "HeavyHitters(the top 100 of 8,192 flows, by windows of 0.01 s)"


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"top": 0}, "top is 0: so many flows cannot be found"),
        ({"top": 300}, "top is 300"),
        ({"flows": 1000}, "flows is 1000"),
        ({"flows": 128}, "flows is 128"),
        ({"window": 0.06}, "window is 0.06"),
        ({"window": "1"}, "window is '1'"),
    ],
)
def test_wrong_parameters_are_refused(given: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        HeavyHitters(**given)
