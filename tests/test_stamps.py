"""The time of a packet by its port's stamp: what a count means, through a clock that drifts; and net_pcap's stamps on a
real port, compiled and interpreted."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import stage_of
from burstline import dpdk
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.live_interpreter import LiveInterpreter
from burstline.native.kernel import Kernel
from burstline.offload.mbuf import OL_FLAGS, SIZE
from burstline.offload.stamps import BEFORE, FIRST_GAP, StampLine, Stamps
from burstline.ports.capture_reader import read_capture
from dpdk_live import alone, needs_root, raised

PLACE, FLAG = 104, 1 << 23
START = 1_700_000_000 * 10**9
stamped = Kernel("burstline.offload.stamp_kernel:stamped", Stamps, int)


class Clocks:
    """The system's clock and a device's, which counts `hz` a second from `first` on, `ppm` too fast."""

    def __init__(self, hz: int, first: int, ppm: int = 0) -> None:
        self.hz, self.first, self.ppm, self.ns = hz, first, ppm, START

    def now(self) -> int:
        self.ns += 40
        return self.ns

    def read(self) -> int:
        self.ns += 300
        return self.count_at(self.ns)

    def count_at(self, ns: int) -> int:
        return self.first + (ns - START) * self.hz * (10**6 + self.ppm) // 10**15

    def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


class Mbuf:
    def __init__(self, count: int, flag: int = FLAG) -> None:
        self._bytes = (ctypes.c_uint8 * SIZE)()
        self.address = ctypes.addressof(self._bytes)
        ctypes.c_uint64.from_address(self.address + OL_FLAGS).value = flag | 1
        ctypes.c_int64.from_address(self.address + PLACE).value = count


def both(line: StampLine, mbuf: Mbuf) -> int:
    """As compiled code reads it, and the interpreter: the same."""
    compiled = stamped(ctypes.c_int64.from_address(line.address).value, mbuf.address)
    assert compiled == line.time_of(mbuf.address)
    return compiled


@settings(deadline=None)
@given(
    hz=st.sampled_from([1_000_000, 78_125_000, 156_250_000, 10**9, 2_500_000_000]),
    first=st.integers(0, 2**61),
    ppm=st.integers(-500, 500),
    gaps=st.lists(st.floats(0.5, 3), max_size=100),
    ago=st.floats(0, 5),
)
def test_a_count_means_the_time_at_which_the_clock_showed_it(
    hz: int, first: int, ppm: int, gaps: list[float], ago: float
) -> None:
    clocks = Clocks(hz, first, ppm)
    line = StampLine(PLACE, FLAG, clocks.read, clocks.now, clocks.sleep)
    for gap in gaps:
        clocks.sleep(gap)
        line.follow()
    at = max(START, clocks.ns - int(ago * 1e9))
    apart = both(line, Mbuf(clocks.count_at(at))) - at
    # Readings are right to a microsecond and a count; the rate of the first two, to as much in FIRST_GAP.
    known = sum(gaps[-63:]) + FIRST_GAP if len(gaps) < 63 else sum(gaps[-63:])
    wrong = 1000 + 10**9 / hz
    assert abs(apart) <= 2 * wrong + 2 * wrong * ago / known


def test_a_clock_that_is_set_is_read_anew() -> None:
    clocks = Clocks(10**9, 5 * 10**9)
    line = StampLine(PLACE, FLAG, clocks.read, clocks.now, clocks.sleep)
    clocks.first = 10**6
    for _ in range(3):
        clocks.sleep(1)
        line.follow()
    assert abs(both(line, Mbuf(clocks.count_at(clocks.ns))) - clocks.ns) < 2000


def test_what_is_no_stamp_of_the_clock_is_none() -> None:
    clocks = Clocks(10**9, 5 * 10**12)
    line = StampLine(PLACE, FLAG, clocks.read, clocks.now, clocks.sleep)
    now = clocks.count_at(clocks.ns)
    assert both(line, Mbuf(now)) > 0
    assert both(line, Mbuf(now, flag=0)) == 0
    for count in (0, now - BEFORE - 10**9, now + BEFORE + 10**9, 2**62, -1):
        assert both(line, Mbuf(count)) == 0


def test_microseconds_need_no_clock() -> None:
    line = StampLine(PLACE, FLAG, None)
    for seconds, micros in ((0, 1), (1, 0), (1_700_000_000, 999_999), (2**32 - 1, 1)):
        assert both(line, Mbuf(seconds * 10**6 + micros)) == (seconds * 10**6 + micros) * 1000
    line.follow()
    assert both(line, Mbuf(7)) == 7000


PACKETS = 300


def write_capture(path: Path) -> list[int]:
    """Packets whose times are microseconds of 2001, in uneven steps; the times in nanoseconds."""
    times = [10**15 + k * k * 7919 for k in range(PACKETS)]
    records = b"".join(
        struct.pack("<IIII", at // 10**6, at % 10**6, 60, 60) + bytes(12) + b"\x88\xb5" + bytes(46) for at in times
    )
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + records)
    return [at * 1000 for at in times]


def through(directory: Path, asks: bool, interpret: bool) -> tuple[list[int], int, str, dict[str, int]]:
    """The times in the file that is written, the sum of `pkt.time`, who stamps, and what was done around the port."""
    total = bl.Counter("time")
    stage = stage_of("def note(pkt):\n    total.add(pkt.time % 10**12)", total=total)
    config = Config().with_overrides(hugepages=False, duration=1.0)
    pipeline, kind = bl.Pipeline(stage, offloads=bl.Offloads(timestamp=asks)), LiveInterpreter if interpret else LiveRun
    report = kind(pipeline, [f"net_pcap0,rx_pcap={directory / 'in.pcap'}"], str(directory / "out.pcap"), config).run()
    of = report.ports[0]["offloads"]
    by = next(choice["by"] for choice in of["choices"] if choice["name"] == "timestamp")
    with (directory / "out.pcap").open("rb") as stream:
        written = [packet.time for packet in read_capture(stream, "out.pcap")]
    return written, total.value, by, of["did"]


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
@pytest.mark.parametrize("interpret", [False, True], ids=["compiled", "interpreted"])
def test_the_time_of_a_packet_is_what_its_port_says(tmp_path: Path, interpret: bool) -> None:
    times = write_capture(tmp_path / "in.pcap")
    assert alone(through, tmp_path, True, interpret) == (times, sum(t % 10**12 for t in times), "hardware", {})
    by_worker, _, by, _ = alone(through, tmp_path, False, interpret)
    assert by == "off" and len(by_worker) == PACKETS and min(by_worker) > max(times)


def looped(directory: Path) -> tuple[int, int, dict[str, int]]:
    """Of a port that stamps nothing though it should: how many packets came, and had a time before 2020."""
    early = bl.Counter("early")
    stage = stage_of("def note(pkt):\n    if pkt.time < 1_577_836_800 * 10**9:\n        early.add()", early=early)
    config = Config().with_overrides(hugepages=False, duration=0.3)
    device = f"net_pcap0,rx_pcap={directory / 'in.pcap'},infinite_rx=1"
    report = LiveRun(bl.Pipeline(stage, offloads=bl.Offloads(timestamp=True)), [device], None, config).run()
    return report.received.packets, early.value, report.ports[0]["offloads"]["did"]


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
def test_packets_that_a_port_does_not_stamp_get_the_workers_clock_and_are_counted(tmp_path: Path) -> None:
    write_capture(tmp_path / "in.pcap")
    received, early, did = alone(looped, tmp_path)
    assert received > 0 and early == 0
    assert did == {"unstamped": received}


def looks(interpret: bool) -> tuple[int, int]:
    """How often a run of 1.5 seconds looks at its ports, and how often the clock was read then."""
    from burstline.engine.around_ports import AroundPorts

    runs, reads = [0], [0]
    clocks = Clocks(10**9, 0)
    line = StampLine(PLACE, FLAG, clocks.read, clocks.now, clocks.sleep)
    look, follow = AroundPorts.follow, line.follow

    def counted(around: AroundPorts, ports: Any) -> list[str]:
        runs[0] += 1
        around.stamps[0] = line
        return look(around, ports)

    def read_again() -> None:
        reads[0] += 1
        follow()

    AroundPorts.follow, line.follow = counted, read_again  # type: ignore[method-assign]
    config = Config().with_overrides(hugepages=False, duration=1.5)
    stage = stage_of("def note(pkt):\n    return bl.DROP")
    (LiveInterpreter if interpret else LiveRun)(bl.Pipeline(stage), ["net_null0"], None, config).run()
    return runs[0], reads[0]


@needs_root
@pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
@pytest.mark.parametrize("interpret", [False, True], ids=["compiled", "interpreted"])
def test_a_run_looks_at_its_ports_and_reads_their_clocks_again(interpret: bool) -> None:
    runs, reads = alone(looks, interpret)
    assert runs == reads > 0


@pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
@pytest.mark.parametrize("kind", ["counter", "timesync"])
def test_a_clock_that_cannot_be_read_is_an_error_that_says_so(kind: Any) -> None:
    message, hint = alone(refused, kind)
    assert message.startswith("dpdk:net_null0: the clock by which it stamps packets cannot be read: ")
    assert "timestamp = false" in hint


def refused(kind: Any) -> tuple[str, str | None]:
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.port import Port
    from burstline.engine.port_stamps import stamp_line
    from burstline.offload.planning.stamp_clocks import StampClock

    eal.start(huge=False)
    with Pool(2047) as pool, Port.open("net_null0", pool) as port:
        port.start()
        error = raised(lambda: stamp_line(port, StampClock(kind, "", "")))
    return error.message, error.hint
