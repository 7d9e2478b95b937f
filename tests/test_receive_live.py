"""Jumbo frames over virtual devices of every way of receiving: stages see them whole, and they leave whole."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from burstline.dpdk import hugepages
from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.pools import Pools
from burstline.dpdk.port import free
from burstline.dpdk.ring_port import RingPort
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.live_interpreter import LiveInterpreter
from burstline.engine.report import Report
from burstline.errors import BurstlineError
from burstline.ports.capture_reader import read_capture
from capture_files import pcap_header, record
from dpdk_live import alone, needs_root, packet, pool, raised, veth
from namespaces import until

QUICK = Config().with_overrides(duration=0.3, hugepages=False)
KINDS: list[Any] = [LiveRun, LiveInterpreter]
# Around each border of a class, and of two and more buffers of 2,048 bytes.
SIZES = [60, 128, 640, 1514, 2047, 2048, 2049, 4096, 4300, 9000, 9018, 9215, 9216]


@bl.stage
def mark_end(pkt):  # type: ignore[no-untyped-def]
    """Reads the first and the last byte that a packet has, and writes into its header: the source's last byte becomes
    the sum of both."""
    body = pkt.payload
    if pkt.captured != pkt.length or len(body) != pkt.length - 14:
        return bl.drop("cut")
    pkt.eth.src = body[3] + body[len(body) - 1]


@bl.stage
def only_ours(pkt):  # type: ignore[no-untyped-def]
    if pkt.eth.type != 0x88B5:
        return bl.drop("other")


@bl.stage
def last_goes_back(pkt):  # type: ignore[no-untyped-def]
    if pkt.length == 61:
        return bl.send(0)


@bl.stage
def across(pkt):  # type: ignore[no-untyped-def]
    """From the file (2) to the one end (0), from the other end (1) to the file."""
    return bl.send(0 if pkt.port == 2 else 2)


@bl.stage
def to_zero(pkt):  # type: ignore[no-untyped-def]
    return bl.send(0)


def marked(data: bytes) -> bytes:
    return data[:6] + (data[17] + data[-1]).to_bytes(6, "big") + data[12:]


def frames() -> list[bytes]:
    return [packet(k, size) for k, size in enumerate(SIZES)]


def pcap_device(folder: Path, packets: list[bytes]) -> str:
    data = b"".join(record("<", 1, k, p) for k, p in enumerate(packets))
    (folder / "in.pcap").write_bytes(pcap_header("<") + data)
    return f"net_pcap,rx_pcap={folder / 'in.pcap'},tx_pcap={folder / 'sent.pcap'}"


def written(path: Path) -> list[bytes]:
    with path.open("rb") as file:
        return [bytes(p.data) for p in read_capture(file, path.name)]


def _pcap(folder: str, pools: dict[str, Any]) -> list[tuple[Report, list[bytes], list[bytes]]]:
    place = Path(folder)
    device = pcap_device(place, [*frames(), packet(99, 9217)])
    config = QUICK.with_overrides(**pools)
    found = []
    for kind in KINDS:
        report = kind(bl.Pipeline(mark_end), [device], f"dpdk:{device}", config).run()
        sent = written(place / "sent.pcap")
        kind(bl.Pipeline(mark_end), [device], f"{folder}/file.pcapng", config).run()
        found.append((report, sent, written(place / "file.pcapng")))
    return found


def test_frames_in_chains_are_whole_in_stages_on_the_wire_and_in_files(tmp_path: Path) -> None:
    for report, sent, filed in alone(_pcap, str(tmp_path), {}):
        assert sent == filed == [marked(p) for p in frames()]
        assert report.balanced
        assert {name: c.packets for name, c in report.drops.items()} == {"no buffer": 1}
        assert report.drops["no buffer"].bytes == 9217, "the one that is longer than any class"
        assert any("1 packets found no packet buffer: raise [pools] buffers" in w for w in report.warnings)
        assert report.ports[0]["receive"]["mode"] == "scatter"


def test_a_class_for_them_is_all_that_larger_frames_need(tmp_path: Path) -> None:
    for report, sent, _ in alone(_pcap, str(tmp_path), {"classes": [128, 640, 16384]}):
        assert sent == [marked(p) for p in [*frames(), packet(99, 9217)]]
        assert not report.drops


def _untouched(folder: str) -> list[Report]:
    """Stages that read no byte let chains pass as they are. (net_pcap cuts what it sends at 16,128 bytes.)"""
    device = pcap_device(Path(folder), [packet(1, 16000)])
    reports = []
    for kind in KINDS:
        reports.append(kind(bl.Pipeline(to_zero), [device], None, QUICK).run())
        assert written(Path(folder) / "sent.pcap") == [packet(1, 16000)]
    return reports


def test_what_no_stage_reads_is_passed_on_in_its_chain(tmp_path: Path) -> None:
    for report in alone(_untouched, str(tmp_path)):
        assert (report.sent.packets, report.sent.bytes) == (1, 16000)
        assert report.ports[0]["receive"]["whole"] == 0


def _gather() -> None:
    with pool():  # starts EAL
        made = Pools({256: 200, 2048: 100, 9216: 4}, partial(Pool, cache=0))
        assert made.sizes == (256, 2048, 9216)
        found = [made.of(size) for size in (1, 256, 257, 9216, 9217)]
        assert [each.data_room if each else None for each in found] == [256, 256, 2048, 9216, None]
        small = made.of(1)
        assert small is not None
        with RingPort.pair(small) as port:
            port.table = made.table
            port.start()
            long = [packet(k, 5000) for k in range(6)]
            assert port.inject([packet(9, 1000), *long]) == 7
            got = port.receive(0, 32)
            assert [bytes(view) for _, view in got[:5]] == [packet(9, 1000), *long[:4]]
            assert [len(view) for _, view in got[5:]] == [256, 256], "no buffer left: the beginning"
            assert [native.mbuf_segments(mbuf) for mbuf, _ in got] == [1] * 5 + [20] * 2
            assert port.transmit(0, [mbuf for mbuf, _ in got]) == 7
            assert port.drain() == [packet(9, 1000), *long], "all leave whole"
        assert made.in_use == 0
        assert "still in use" in raised(lambda: _holding(made)).message
        made.close()


def _holding(made: Pools) -> None:
    small = made.of(1)
    assert small is not None
    mbuf = small.new(b"x")
    try:
        made.close()
    finally:
        free([mbuf])


def test_chains_go_into_the_smallest_buffer_that_holds_them_and_none_is_lost_when_there_is_none() -> None:
    alone(_gather)


# ---- interfaces of the kernel ----


def spoken(run: Any, interface: str, sent: list[bytes], expected: int, change: str = "") -> list[bytes]:
    """Send on an interface while `run` goes on, once `ip link set` has made the `change`; returns what comes back,
    which is to be `expected` packets."""
    back: list[bytes] = []

    def talk() -> None:
        try:
            assert until(lambda: run.is_running)
            if change:
                ip(f"link set {change}")
            with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as end:
                end.bind((interface, 3))
                end.settimeout(20)
                for data in sent:
                    end.send(data)
                while len(back) < expected:
                    heard, where = end.recvfrom(65535)
                    if heard[12:14] == b"\x88\xb5" and where[2] != socket.PACKET_OUTGOING:
                        back.append(heard)
        finally:
            run.stop()

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        run.run()
    finally:
        talking.join()
    return back


def wide() -> list[bytes]:
    """The frames that an interface with an MTU of 9,000 takes."""
    return [p for p in frames() if len(p) <= 9014]


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


def _tap(folder: str) -> list[tuple[list[bytes], Report]]:
    """What arrives leaves by net_pcap, and a last packet by the interface: net_tap sends nothing larger than 1,522
    bytes."""
    veth()
    found = []
    config = Config().with_overrides(hugepages=False)
    for kind in KINDS:
        file = Path(folder) / f"{kind.__name__}.pcap"
        pipeline = bl.Pipeline(only_ours, mark_end, last_goes_back)
        run = kind(pipeline, ["net_tap,iface=wide"], f"dpdk:net_pcap,tx_pcap={file}", config)
        spoken(run, "wide", [*wide(), packet(7, 61)], 1, "wide mtu 9000 up")
        found.append((written(file), run.report))
    return found


@needs_root
def test_a_tap_interface_whose_mtu_is_raised_later_brings_jumbo_frames_whole(tmp_path: Path) -> None:
    for sent, report in alone(_tap, str(tmp_path)):
        assert sent == [marked(p) for p in wide()]
        assert report.balanced and set(report.drops) <= {"other"}
        assert (report.ports[0]["receive"]["mode"], report.ports[0]["errors"]) == ("scatter", 0)


def _af_packet() -> tuple[list[bytes], Report]:
    veth()
    for end in ("left", "right"):
        ip(f"link set {end} mtu 9000")
    config = Config().with_overrides(hugepages=False)
    run = LiveRun(bl.Pipeline(mark_end), ["net_af_packet,iface=left"], "dpdk:net_af_packet,iface=left", config)
    return spoken(run, "right", wide(), len(wide())), run.report


@needs_root
def test_af_packet_is_given_room_for_the_jumbo_frames_of_its_interface() -> None:
    back, report = alone(_af_packet)
    assert back == [marked(p) for p in wide()]
    receive = report.ports[0]["receive"]
    assert (receive["mode"], receive["buffers"]) == ("one pool", [9216])
    assert "cannot scatter" in receive["why"]


def _vhost(folder: str) -> tuple[Report, list[bytes]] | None:
    """net_pcap - stages - net_vhost = net_virtio_user - stages - file: both chain what they receive."""
    if not hugepages.usable(600):
        return None
    place = Path(folder)
    source = pcap_device(place, wide())
    devices = [f"net_vhost0,iface={folder}/vhost.sock", f"net_virtio_user0,path={folder}/vhost.sock", source]
    config = Config().with_overrides(
        hugepages=True, duration=1, eal_args=["--in-memory", "--single-file-segments"], receive="scatter"
    )
    for _ in range(10):
        report = LiveRun(bl.Pipeline(only_ours, mark_end, across), devices, None, config).run()
        if "send failed" not in report.drops:  # the two ends had found each other when the first packet came
            break
    return report, written(place / "sent.pcap")


@needs_root
def test_virtio_brings_jumbo_frames_in_chains_and_they_go_on_whole(tmp_path: Path) -> None:
    outcome = alone(_vhost, str(tmp_path))
    if outcome is None:
        pytest.skip("needs huge pages")
    report, sent = outcome
    assert sent == [marked(marked(p)) for p in wide()]
    assert report.balanced and not report.drops


# ---- what is refused, and what is said ----


def _refused(settings: dict[str, Any], device: str) -> BurstlineError:
    return raised(LiveRun(bl.Pipeline(mark_end), [device], None, QUICK.with_overrides(**settings)).run)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"receive": "split"}, "net_null cannot receive by 'split'"),
        ({"receive": "pools"}, "max_rx_mempools"),
        ({"receive": "scatter"}, "RX_OFFLOAD_SCATTER"),
        ({"classes": [128, 640]}, "may bring frames of 2,012 bytes, the largest buffer holds 640"),
        ({"buffer_size": 640}, "may bring frames of 2,012 bytes, the largest buffer holds 512"),
    ],
)
def test_what_a_device_cannot_do_is_an_error_before_any_packet(settings: dict[str, Any], says: str) -> None:
    assert says in alone(_refused, settings, "net_null,size=2000").message


def _memory_told() -> Report:
    config = Config().with_overrides(duration=0.1, hugepages=False, cache=512, ops="stack")
    return LiveRun(bl.Pipeline(mark_end), ["net_null,size=2000", "net_null1"], None, config).run()


def test_the_report_tells_each_ports_way_and_dpdks_own_mempool_operations_can_be_chosen() -> None:
    report = alone(_memory_told)
    assert [p["receive"]["buffers"] for p in report.ports] == [[2048], [128]]
    assert [p["receive"]["mode"] for p in report.ports] == ["one pool", "one pool"]
    assert json.dumps(report.as_json())
    said = "\n".join(report.lines())
    assert "port 0, dpdk:net_null,size=2000: one pool, buffers of 2,048 bytes" in said
