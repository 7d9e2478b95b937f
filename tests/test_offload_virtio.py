"""TCP cut by one end of a virtio link and merged by the other, in one process: what leaves net_virtio_user whole with
TSO comes out of net_vhost whole, and the other way round; the frames at the end are those of the beginning."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Raw

import burstline as bl
from burstline import dpdk

if not dpdk.available():
    pytest.skip("built without DPDK", allow_module_level=True)

from both_modes import pcap_of
from burstline.dpdk import hugepages
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.report import Report
from burstline.ports.capture_reader import read_capture
from dpdk_live import alone, needs_root
from gso_oracle import large_packet
from gso_oracle import segments as cut

pytestmark = needs_root
SECONDS = 0.5
VHOST, USER = "net_vhost0,iface={}/link.sock,tso=1", "net_virtio_user0,path={}/link.sock"
FILE = "net_pcap0,rx_pcap={0}/in.pcap,tx_pcap={0}/out.pcap"
NEAR, FAR, AT_FILE = 0, 1, 2  # numbers of ports: the end that sends, the one that receives, and the file

ETHER = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4: Any = IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=100)
MERGED = large_packet(V4, TCP(sport=1, dport=80, seq=2**32 - 5000, ack=9, flags="PA"), 20_000)
BIG = large_packet(V4, TCP(sport=2, dport=80, seq=1, ack=1, flags="PA"), 65_000)
DATAGRAMS = large_packet(V4, UDP(sport=3, dport=53), 30_001)
STREAM, TRAIN = bl.Template(BIG.frame), bl.Template(DATAGRAMS.frame)

large, of, size = bl.Counter("large"), bl.Counter("of"), bl.Counter("size")


@bl.stage
def across(pkt: Any) -> Any:
    """From the file to the one end, from the other end to the file."""
    if not pkt.tcp and not pkt.udp:
        return bl.drop("other")
    if pkt.port == AT_FILE:
        return bl.send(NEAR)
    if pkt.tcp and pkt.segments > 1:
        large.add(1)
        of.add(pkt.segments)
        size.add(pkt.segment_size)
    return bl.send(AT_FILE)


@bl.stage
def resize(pkt: Any) -> Any:
    """What came from the file is cut otherwise than it came, and so are a copy of it, and what is made besides."""
    if pkt.port == AT_FILE:
        copy = pkt.clone(NEAR)
        copy.segment_size = 900
        pkt.segment_size = 700
        stream = STREAM.emit(pkt, NEAR)
        stream.segment_size = 1448
        train = TRAIN.emit(pkt, NEAR)
        train.segment_size = 1200
    elif pkt.tcp and len(pkt.payload) != pkt.length - 54:
        return bl.drop("not whole")


class Came(NamedTuple):
    report: Report
    frames: list[bytes]
    large: int  # packets that the far end received whole
    segments: int  # of which they consist
    sizes: int  # the sum of their segments' sizes


def segments(count: int, payload: int, six: bool, last: int = 77) -> list[bytes]:
    """TCP of one flow, as a sender cuts it."""
    rng = random.Random(count)
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    frames, seq = [], 2**32 - 5000
    for k in range(count):
        body = rng.randbytes(last if k == count - 1 else payload)
        ip: Any = IPv6(src="fd00::1", dst="fd00::2") if six else IP(src="10.0.0.1", dst="10.0.0.2", flags="DF", id=k)
        tcp = TCP(sport=5000 + count, dport=80, seq=seq % 2**32, ack=9, flags="PA" if k == count - 1 else "A")
        frames.append(bytes(ether / ip / tcp / Raw(body)))
        seq += len(body)
    return frames


def linked(name: str, order: list[str], folder: str) -> Came | None:
    """One run over both ends of a link and a file, in which no packet is lost; None without huge pages."""
    if not hugepages.usable(520):
        return None
    config = Config().with_overrides(
        hugepages=True, duration=SECONDS, eal_args=["--in-memory", "--single-file-segments"]
    )
    for _ in range(10):
        report = LiveRun(PIPELINES[name], [device.format(folder) for device in order], None, config).run()
        if "send failed" not in report.drops:  # the two ends had found each other when the first packet came
            break
    with open(f"{folder}/out.pcap", "rb") as file:
        frames = [bytes(found.data) for found in read_capture(file, "out.pcap")]
    return Came(report, frames, large.value, of.value, size.value)


def there(name: str, order: list[str], folder: Path) -> Came:
    came = alone(linked, name, order, str(folder))
    if came is None:
        pytest.skip("needs huge pages")
    assert came.report.balanced and not came.report.drops
    return came  # type: ignore[no-any-return]


def by(report: Report, number: int, name: str) -> str:
    """Who does an offload of a port, by its plan."""
    return next(c["by"] for c in report.ports[number]["offloads"]["choices"] if c["name"] == name)


ENDS = pytest.mark.parametrize("order", [[USER, VHOST, FILE], [VHOST, USER, FILE]], ids=["from user", "from vhost"])
OFFLOADS = bl.Offloads(tso=True, lro=True, gro=True)
PIPELINES = {
    "merged": bl.Pipeline(across, offloads=OFFLOADS),
    "resized": bl.Pipeline(resize, across, offloads=OFFLOADS),
}


@ENDS
def test_merged_segments_cross_the_link_as_one_packet_and_leave_as_they_came(order: list[str], tmp_path: Path) -> None:
    flows = [segments(20, 1448, False), segments(31, 1428, True), segments(6, 500, False)]
    frames = [frame for flow in flows for frame in flow]
    (tmp_path / "in.pcap").write_bytes(pcap_of(frames))
    came = there("merged", order, tmp_path)
    assert came.frames == frames
    assert (came.large, came.segments, came.sizes) == (3, 20 + 31 + 6, 1448 + 1428 + 500)
    did = [port["offloads"]["did"] for port in came.report.ports]
    assert did[NEAR]["cut"] == 3, "the port is given them whole"
    assert "gso_packets" not in did[NEAR] and "gro_merged" not in did[FAR]
    assert (did[AT_FILE]["gro_merged"], did[AT_FILE]["gso_packets"], did[AT_FILE]["gso_segments"]) == (3, 3, 57)
    assert by(came.report, NEAR, "tso") == by(came.report, FAR, "lro") == "peer"
    assert by(came.report, AT_FILE, "tso") == by(came.report, AT_FILE, "lro") == "software"


@ENDS
def test_packets_leave_in_segments_of_the_size_that_stages_say_whoever_cuts_them(
    order: list[str], tmp_path: Path
) -> None:
    """TCP crosses the link whole, and into one buffer, since stages look behind its headers; UDP is cut before it."""
    (tmp_path / "in.pcap").write_bytes(pcap_of(cut(MERGED, 1448)))
    came = there("resized", order, tmp_path)
    wanted = [*cut(MERGED, 700), *cut(MERGED, 900), *cut(BIG, 1448), *cut(DATAGRAMS, 1200)]
    assert sorted(came.frames) == sorted(wanted)
    assert [frame for frame in came.frames if Ether(frame).sport == 1] == wanted[: 29 + 23]
    assert (came.large, came.segments, came.sizes) == (3, 29 + 23 + 45, 700 + 900 + 1448)
    did = came.report.ports[NEAR]["offloads"]["did"]
    assert (did["cut"], did["gso_packets"], did["gso_segments"]) == (3, 1, 26)
    assert by(came.report, NEAR, "tso") == by(came.report, FAR, "lro") == "peer"
