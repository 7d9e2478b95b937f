"""Offloads around a pipeline, compiled and interpreted: what stages see of merged packets, what they say of how packets
are to be cut, and that all comes out as it went in."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

import burstline as bl
from both_modes import pcap_of
from burstline import dpdk
from burstline.engine.config import Config
from burstline.engine.live import LiveRun
from burstline.engine.live_interpreter import LiveInterpreter
from burstline.engine.report import Report
from burstline.ports.capture_reader import read_capture
from dpdk_live import alone

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="needs DPDK")
KINDS = (LiveRun, LiveInterpreter)
FLOWS, SEGMENTS, SIZE = 6, 40, 1000


def segment(flow: int, k: int, *, vlan: int = 0, flags: str = "A", size: int = SIZE) -> bytes:
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    payload = random.Random(1000 * flow + k).randbytes(size)
    ip = IP(src="10.0.0.1", dst="10.0.0.2", id=k, flags="DF", ttl=64)
    tcp = TCP(sport=1000 + flow, dport=80, seq=SIZE * k, ack=1, flags=flags)
    return bytes((ether / Dot1Q(vlan=vlan) if vlan else ether) / ip / tcp / Raw(payload))


def bulk(**options: Any) -> list[bytes]:
    """Flows whose segments come in runs of eight."""
    return [
        segment(flow, start + k, **options)
        for start in range(0, SEGMENTS, 8)
        for flow in range(FLOWS)
        for k in range(8)
    ]  # fmt: skip


def by_flow(frames: Sequence[bytes]) -> dict[int, list[bytes]]:
    found: dict[int, list[bytes]] = {}
    for frame in frames:
        found.setdefault(Ether(frame)[TCP].sport, []).append(frame)
    return found


def ran(kind: Any, folder: str, pipeline: bl.Pipeline, frames: Sequence[bytes]) -> tuple[list[bytes], Report]:
    """What leaves by one file of what comes by another."""
    (source, out) = (Path(folder) / f"{name}-{kind.__name__}.pcap" for name in ("in", "out"))
    source.write_bytes(pcap_of(frames))
    config = Config().with_overrides(hugepages=False, duration=1)
    run = kind(pipeline, [f"net_pcap0,rx_pcap={source}"], f"dpdk:net_pcap1,tx_pcap={out}", config)
    report = run.run()
    with out.open("rb") as stream:
        return [bytes(packet.data) for packet in read_capture(stream, str(out))], report


most, packets, merged, unsure = (bl.Counter(name) for name in ("most", "packets", "merged", "unsure"))


@bl.stage
def look(pkt):  # type: ignore[no-untyped-def]
    packets.add(pkt.segments)
    if pkt.segments > 1:
        merged.add(1)
        if pkt.segment_size != 1000:
            most.add(1)
    if not pkt.checksums_ok():
        unsure.add(1)


@bl.stage
def one_hop(pkt):  # type: ignore[no-untyped-def]
    pkt.ipv4.ttl -= 1
    pkt.fix_checksums()


def _merged(folder: str) -> list[Any]:
    found = []
    frames = bulk()
    damaged = [bytearray(frames[3]), bytearray(frames[77])]
    damaged[0][60] ^= 1  # TCP's sum
    damaged[1][26] ^= 1  # IP's
    every = [*frames[:3], bytes(damaged[0]), *frames[4:77], bytes(damaged[1]), *frames[78:]]
    for kind in KINDS:
        offloads = bl.Offloads(checksum=True, gro=True)
        sent, report = ran(kind, folder, bl.Pipeline(look, one_hop, offloads=offloads), every)
        counts = {c.name: c.value for c in (most, packets, merged, unsure)}
        found.append((sent, report, counts))
    return found


def test_stages_see_merged_packets_and_what_leaves_is_what_came(tmp_path: Path) -> None:
    """A hop less, with right checksums; damaged packets are dropped by name."""
    frames = bulk()
    kept = [frame for k, frame in enumerate(frames) if k not in (3, 77)]
    expected = []
    for frame in kept:
        packet = Ether(frame)
        packet.ttl -= 1
        del packet[IP].chksum, packet[TCP].chksum
        expected.append(bytes(packet))
    for sent, report, counts in alone(_merged, str(tmp_path)):
        assert by_flow(sent) == by_flow(expected)
        assert report.balanced and {n: c.packets for n, c in report.drops.items()} == {"bad checksum": 2}
        assert counts["packets"] == len(kept) and counts["most"] == 0 == counts["unsure"]
        assert counts["merged"] <= report.received.packets - 2 < len(kept) / 4
        came, left = (port["offloads"] for port in report.ports)
        assert (came["did"]["checksums_bad"], came["did"]["gro_merged"]) == (2, counts["merged"])
        assert left["did"]["gso_segments"] >= len(kept) - len(kept) // 4
        assert "gro by software" in came["summary"] and "gso by software" in left["summary"]


def _tagged(folder: str) -> list[Any]:
    frames = [*bulk(vlan=7), segment(50, 0, vlan=9), segment(51, 0)]
    offloads = bl.Offloads(checksum=True, gro=True, vlan=7)
    return [ran(kind, folder, bl.Pipeline(no_tag, offloads=offloads), frames) for kind in KINDS]


tags = bl.Counter("tags")


@bl.stage
def no_tag(pkt):  # type: ignore[no-untyped-def]
    if pkt.vlan_depth:
        tags.add(1)
        return bl.drop("another VLAN")


def test_a_port_on_a_vlan_takes_its_tag_off_and_puts_it_on(tmp_path: Path) -> None:
    for sent, report in alone(_tagged, str(tmp_path)):
        assert by_flow(sent) == by_flow([*bulk(vlan=7), segment(51, 0, vlan=7)])
        assert report.drops["another VLAN"].packets == 1
        assert report.ports[0]["offloads"]["did"]["untagged"] == FLOWS * SEGMENTS


@bl.stage
def smaller(pkt):  # type: ignore[no-untyped-def]
    copy = pkt.clone()
    if copy.ipv4:
        copy.tcp.dport = 81
    pkt.segment_size = 300


def _cut(folder: str) -> list[Any]:
    frames = [segment(flow, 0) for flow in range(5)]
    return [ran(kind, folder, bl.Pipeline(smaller, offloads=bl.Offloads(checksum="fill")), frames) for kind in KINDS]


def test_a_stage_says_how_a_packet_is_cut_and_its_clone_goes_whole(tmp_path: Path) -> None:
    for sent, report in alone(_cut, str(tmp_path)):
        cut = [Ether(frame) for frame in sent if Ether(frame)[TCP].dport == 80]
        whole = [Ether(frame) for frame in sent if Ether(frame)[TCP].dport == 81]
        assert [len(p[TCP].payload) for p in cut] == [300, 300, 300, 100] * 5
        assert [p[TCP].seq for p in cut] == [0, 300, 600, 900] * 5
        assert [len(p[TCP].payload) for p in whole] == [1000] * 5
        for packet in (*cut, *whole):
            told = (packet[IP].chksum, packet[TCP].chksum)
            del packet[IP].chksum, packet[TCP].chksum
            again = Ether(bytes(packet))
            assert (again[IP].chksum, again[TCP].chksum) == told
        assert report.balanced and report.sent.packets == 10
