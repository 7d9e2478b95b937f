"""What makes packets one flow: VLAN tags, tunnels, any fields; compiled as interpreted, and as scapy's layers say."""

from __future__ import annotations

import random
from collections import Counter as Tally
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

import burstline as bl
from both_modes import pcap_of, stage_of
from burstline.engine.interpreter import Interpreter
from burstline.engine.offline import FileRun

ETHER = Ether(src="02:00:00:00:00:aa", dst="02:00:00:00:00:bb")


class Flow(bl.Record):
    packets: bl.u64


def packets() -> list[Packet]:
    """Few of each kind, so that flows have several packets, and some differ in one thing only."""
    chance = random.Random(11)
    made = []
    for _ in range(400):
        four = IP(src=f"10.0.0.{chance.randrange(3)}", dst=f"10.0.1.{chance.randrange(2)}")
        six = IPv6(src=f"2001:db8::{chance.randrange(3)}", dst="2001:db8:1::1")
        inner = chance.choice((four, six)) / UDP(sport=chance.randrange(3), dport=53)
        link = ETHER
        for _ in range(chance.randrange(3)):
            link = link / Dot1Q(vlan=chance.choice((7, 8)))
        if chance.random() < 0.4:
            outer = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=4000, dport=4789)
            made.append(link / outer / VXLAN(vni=chance.choice((5, 6)), flags=8) / ETHER / inner)
        else:
            made.append(link / inner if chance.random() < 0.8 else link / four / TCP(sport=9, dport=80))
    return made


def first_ip(packet: Packet) -> Any:
    while not isinstance(packet, IP | IPv6):
        packet = packet.payload
    return packet


def ends(header: Any) -> tuple[Any, ...]:
    return ip_address(header.src), ip_address(header.dst), header.payload.sport, header.payload.dport


def vlans(packet: Packet) -> tuple[int, int]:
    tags = [layer.vlan for layer in packet.iterpayloads() if isinstance(layer, Dot1Q)]
    return tuple([*tags, 0, 0][:2])  # type: ignore[return-value]


def innermost(packet: Packet) -> Any:
    return first_ip(packet[VXLAN].payload) if VXLAN in packet else first_ip(packet)


def vni(packet: Packet) -> int:
    return packet[VXLAN].vni if VXLAN in packet else 0


def counted(tmp_path: Path, frames: list[Packet], **options: Any) -> Any:
    """The rows of a table, compiled; interpreted they are the same."""
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of([bytes(f) for f in frames]))
    found = []
    for compiled in (True, False):
        flows: bl.FlowTable[Flow] = bl.FlowTable(Flow, **options)
        pipeline = bl.Pipeline(stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=flows))
        if compiled:
            FileRun(pipeline, str(path), None).run()
        else:
            Interpreter(pipeline, str(path)).run_file(str(path), None, None, None)
        found.append((flows.to_numpy(), flows.to_arrow().to_pylist()))
    assert found[0][0].tobytes() == found[1][0].tobytes(), "in the order in which flows began"
    assert found[0][1] == found[1][1]
    return found[0][1]


def row_ends(row: Any) -> tuple[Any, ...]:
    return ip_address(row["src"]), ip_address(row["dst"]), row["sport"], row["dport"]


def test_vlan_tags_tell_flows_apart_where_asked(tmp_path: Path) -> None:
    frames = packets()
    rows = counted(tmp_path, frames, vlan=True)
    found = {(row["vlan"], row["inner_vlan"], row["protocol"], *row_ends(row)): row["packets"] for row in rows}
    wanted = Tally((*vlans(f), _protocol(first_ip(f)), *ends(first_ip(f))) for f in frames)
    assert found == wanted
    assert len(found) > len(counted(tmp_path, frames))


@pytest.mark.parametrize("vlan", [False, True])
def test_what_a_tunnel_carries_is_a_flow_of_its_own_where_asked(vlan: bool, tmp_path: Path) -> None:
    frames = packets()
    rows = counted(tmp_path, frames, tunnel=True, vlan=vlan)
    tags = [(row["vlan"], row["inner_vlan"]) if vlan else () for row in rows]
    found = {
        (*t, row["tunnel_id"], row["protocol"], *row_ends(row)): row["packets"]
        for t, row in zip(tags, rows, strict=True)
    }
    wanted = Tally((*(vlans(f) if vlan else ()), vni(f), _protocol(innermost(f)), *ends(innermost(f))) for f in frames)
    assert found == wanted


def _protocol(header: Any) -> int:
    return int(header.proto if isinstance(header, IP) else header.nh)


def test_any_fields_can_be_the_key(tmp_path: Path) -> None:
    frames = packets()
    key = ("ipv4.src", "ipv6.dst", "inner.ipv6.src", "vlan.id", "udp.dport", "proto", "inner.udp.sport", "vxlan.vni")
    rows = counted(tmp_path, frames, key=key)
    wanted: Tally[tuple[Any, ...]] = Tally()
    for f in frames:
        outer, inside = first_ip(f), innermost(f) if VXLAN in f else None
        wanted[
            outer.src if isinstance(outer, IP) else "0.0.0.0",
            outer.dst if isinstance(outer, IPv6) else "::",
            inside.src if isinstance(inside, IPv6) else "::",
            vlans(f)[0],
            outer.payload.dport if isinstance(outer.payload, UDP) else 0,
            _protocol(outer),
            inside.payload.sport if inside else 0,
            vni(f),
        ] += 1
    assert {tuple(row[name] for name in key): row["packets"] for row in rows} == wanted


def test_the_key_is_what_the_packet_was_when_it_came(tmp_path: Path) -> None:
    """Though an earlier stage writes the field."""
    path = tmp_path / "in.pcap"
    path.write_bytes(pcap_of([bytes(f) for f in packets()]))
    sums = []
    for changes in (False, True):
        flows: bl.FlowTable[Flow] = bl.FlowTable(Flow, key=("udp.sport", "vlan.id"))
        change = stage_of("def change(pkt):\n    if yes and pkt.udp:\n        pkt.udp.sport = 77", yes=changes)
        count = stage_of("def count(pkt):\n    flows[pkt].packets += 1", flows=flows)
        FileRun(bl.Pipeline(change, count), str(path), None).run()
        sums.append(flows.to_numpy().tolist())
    assert sums[0] == sums[1]
