"""What watched workers note of packets: flows, buckets and busy cycles, by what compiled code writes; and an unwatched
program has none of it."""

from __future__ import annotations

import ctypes
import functools
import random
import threading
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline.compiler.compile import compile_pipeline
from burstline.engine import port_kernel
from burstline.engine.program import _jit, plan_of, prepare
from burstline.engine.traffic_watch import ENOUGH, MOST_EVERY, TrafficWatches
from burstline.native.kernel import Kernel
from burstline.offload.mbuf import HASH, OL_FLAGS, RX_RSS_HASH
from burstline.packet.burst import Burst
from burstline.packet.fields import PRESENT
from burstline.packet.flow_key import flow_hash
from burstline.state.region import Region
from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from traffic_watch_burst_kernel import PACKETS

BUCKETS = 16
UDP = PRESENT["ipv4"] | PRESENT["udp"]


@functools.cache
def watcher() -> Any:
    """`watch_packets(watch, burst, count, time)`, linked with what pipelines define for it."""
    kernel = Kernel("traffic_watch_burst_kernel:watch_packets", *[int] * 4)
    zeros = Region(64)
    builder = llvm.JITLibraryBuilder().add_object_img(kernel._compile()).export_symbol(kernel._symbol)
    builder.import_symbol("burstline_zeros", zeros.address)
    library = builder.add_current_process().link(_jit(), "watcher")
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * 4)(library[kernel._symbol])
    return lambda *values: (function(*values), library, zeros)[0]


class Line:
    """Bursts of UDP packets over IPv4, each of a flow by number."""

    def __init__(self, flows: int = 40, *, hashes: bool = False) -> None:
        chance = random.Random(5)
        self.tuples = [chance.randbytes(12) for _ in range(flows)]
        self.hashes = [toeplitz(DEFAULT_KEY, t) for t in self.tuples]
        self.keys = [(bytes((17, 4)) + t[9:7:-1] + t[11:9:-1] + bytes(2) + t[:8]).ljust(40, b"\0") for t in self.tuples]
        self._burst, self._region = Burst(PACKETS), Region(Burst(PACKETS).size)
        self._bytes, self._mbufs = Region(64 * PACKETS), Region(128 * PACKETS)
        self._has_hashes = hashes

    def pass_by(self, watches: TrafficWatches, worker: int, flows: list[int], time: int = 7) -> None:
        """One burst; the mbufs of even packets have hashes, where mbufs have some."""
        columns: dict[str, list[Any]] = {
            "data": [self._bytes.address + 64 * i for i in range(len(flows))],
            "mbuf": [self._mbufs.address + 128 * i for i in range(len(flows))],
            "hash": [flow_hash(self.keys[f]) for f in flows],
        }
        for name, values in columns.items():
            self._region.write(self._burst.offsets[name], np.array(values, "u8").tobytes())
        for name, value in (("present", UDP), ("l3", 0), ("l4", 20)):
            self._region.write(self._burst.offsets[name], np.full(len(flows), value, "u4").tobytes())
        self._region.write(self._burst.offsets["key"], b"".join(self.keys[f] for f in flows))
        for i, flow in enumerate(flows):
            self._bytes.write(64 * i + 12, self.tuples[flow])
            has = self._has_hashes and i % 2 == 0
            self._mbufs.write(128 * i + OL_FLAGS, (RX_RSS_HASH if has else 0).to_bytes(8, "little"))
            # Not the Toeplitz hash, so that it is seen who was asked.
            self._mbufs.write(128 * i + HASH, (self.hashes[flow] + 1 & 0xFFFFFFFF).to_bytes(4, "little"))
        watcher()(watches.blocks[worker].address, self._region.address, len(flows), time)


@given(st.lists(st.lists(st.integers(0, 39), max_size=PACKETS), max_size=8))
@settings(max_examples=25, deadline=None)
def test_each_packet_is_in_its_bucket_and_in_the_sketch_of_its_worker(bursts: list[list[int]]) -> None:
    line, watches = Line(), TrafficWatches(2, DEFAULT_KEY, BUCKETS)
    buckets, rates = np.zeros((2, BUCKETS), int), np.zeros((40, 2))
    for number, flows in enumerate(bursts):
        line.pass_by(watches, number % 2, flows)
        for flow in flows:
            buckets[number % 2, line.hashes[flow] % BUCKETS] += 1
            rates[flow, number % 2] += 100  # a window is a hundredth of a second
    assert (watches.by_bucket() == buckets).all()
    assert dict(watches.flows(0.01)) == {line.keys[f]: rates[f].tolist() for f in range(40) if rates[f].any()}


def test_what_is_read_while_a_worker_counts_never_falls_nor_runs_ahead() -> None:
    """ctypes lets go of the interpreter's lock while a burst is counted, so both threads run."""
    line, watches = Line(), TrafficWatches(1, DEFAULT_KEY, BUCKETS)
    bursts, flows = 1000, [k % 40 for k in range(PACKETS)]
    begun = 0

    def count() -> None:
        nonlocal begun
        for _ in range(bursts):
            begun += PACKETS
            line.pass_by(watches, 0, flows)

    worker = threading.Thread(target=count)
    worker.start()
    last, between = watches.by_bucket()[0], 0
    while worker.is_alive():
        now = watches.by_bucket()[0]
        assert (now >= last).all() and now.sum() <= begun
        between += bool((now > last).any())
        last = now
    worker.join()
    counted = watches.by_bucket()[0]
    assert counted.sum() == bursts * PACKETS and (counted >= last).all()
    assert between > 1, "it was read while it grew"


def test_hashes_of_mbufs_count_only_where_they_are_those_of_the_reta() -> None:
    for trusted in (False, True):
        line, watches = Line(hashes=True), TrafficWatches(1, DEFAULT_KEY, BUCKETS, trusted=trusted)
        wanted = np.zeros(BUCKETS, int)
        for k in range(20):
            flows = [(7 * k + i) % 40 for i in range(k)]
            line.pass_by(watches, 0, flows)
            for i, flow in enumerate(flows):
                wanted[(line.hashes[flow] + (trusted and i % 2 == 0)) % BUCKETS] += 1
        assert (watches.by_bucket()[0] == wanted).all()


def test_of_many_packets_some_are_drawn_and_counts_are_right_on_average_in_whatever_order_they_come() -> None:
    """Packets of each flow come in the rhythm of the draw, which would be a trap for one that takes each eighth."""
    line, watches = Line(8), TrafficWatches(1, DEFAULT_KEY, 1 << 16)
    watches.draw([8 * ENOUGH])
    for _ in range(600):
        line.pass_by(watches, 0, list(range(8)) * 8)
    counts = watches.by_bucket()[0]
    assert abs(int(counts.sum()) - 600 * 64) <= 8
    for hash in line.hashes:
        # A share of 1 / 8 of 4,800 draws, each of which counts 8: six standard deviations.
        assert abs(int(counts[hash % (1 << 16)]) - 4800) < 6 * 8 * (4800 / 8 * 7 / 8) ** 0.5


@given(st.lists(st.tuples(st.integers(0, PACKETS), st.integers(1, 100)), max_size=30))
@settings(max_examples=25, deadline=None)
def test_all_packets_together_are_no_more_than_a_group_off_however_often_the_draw_changes(
    bursts: list[tuple[int, int]],
) -> None:
    line, watches = Line(), TrafficWatches(1, DEFAULT_KEY, BUCKETS)
    came = 0
    for size, often in bursts:
        watches.draw([often * ENOUGH])
        line.pass_by(watches, 0, [k % 40 for k in range(size)])
        came += size
        assert abs(int(watches.by_bucket().sum()) - came) <= MOST_EVERY


def test_flows_that_stop_become_slower_though_no_packet_tells_the_time() -> None:
    line, watches = Line(), TrafficWatches(1, DEFAULT_KEY, BUCKETS)
    line.pass_by(watches, 0, [3] * 100, time=20_000_000)
    rates = [dict(watches.flows(0.005)).get(line.keys[3], [0.0])[0] for _ in range(5)]
    assert rates[0] == 10_000 and rates[-1] == 0 and rates == sorted(rates, reverse=True)


def pipeline() -> bl.Pipeline:
    @bl.stage
    def back(pkt: Any) -> bl.Verdict:
        return bl.send(0)

    return bl.Pipeline(back)


def code(**options: bool) -> list[bytes]:
    """The instructions of a program."""
    made = prepare(pipeline(), mode="ports", capacity=320, workers=1, dispatch="auto", **options)
    object = llvm.ObjectFileRef.from_data(compile_pipeline(made.pipeline, plan_of(made.plan)).object)
    return [section.data() for section in object.sections() if section.is_text()]


def nothing_of_burst(at: int, burst: Any, n: int, time: int) -> None:
    return None


def nothing(at: int, since: int) -> None:
    return None


def test_without_the_controller_the_program_is_what_it_would_be_if_there_were_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    off = code(watched=False)
    assert off != code(watched=True)
    monkeypatch.setattr(port_kernel, "watch_burst", nothing_of_burst)
    monkeypatch.setattr(port_kernel, "add_busy", nothing)
    assert code() == off
    plan = prepare(pipeline(), mode="ports", capacity=320, workers=1, dispatch="auto").plan
    assert "watched" not in plan  # so that the cache finds what it has
