"""Packets that scapy built, and the interpreted `Packet` over them."""

from __future__ import annotations

from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
)
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.packet import Packet as Scapy
from scapy.packet import Raw

from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, Parsed, parse

ETHER: dict[str, Any] = {"dst": "02:00:00:00:00:01", "src": "06:11:22:33:44:55"}
V4: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.77"}
V6: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8:ffff::abcd"}
OPTIONS4 = b"\x94\x04\x00\x00"
OPTIONS_TCP = b"\x02\x04\x05\xb4\x01\x01\x04\x02"


def packet_of(frame: Scapy | bytes, link: int = LINK_ETHERNET, captured: int | None = None) -> Packet:
    whole = bytes(frame)
    data = bytearray(whole[:captured])
    return Packet(data, len(whole), 1_700_000_000_123_456_789, 3, Parsed(*parse(memoryview(data), len(data), link)))


TCP4 = (
    Ether(**ETHER)
    / IP(tos=0xB9, id=0x1234, flags="DF", ttl=63, options=[(OPTIONS4)], **V4)
    / TCP(sport=443, dport=51000, seq=0xDEADBEEF, ack=0x01020304, flags=0xA5, window=0xFEDC, urgptr=0x55AA)
    / Raw(b"hello, world")
)
TCP_OPTIONS = (
    Ether(**ETHER) / IP(**V4) / TCP(options=[("MSS", 1460), ("NOP", None), ("NOP", None), ("SAckOK", b"")]) / Raw(b"x")
)
UDP4 = Ether(**ETHER) / Dot1AD(prio=5, dei=1, vlan=0x123) / Dot1Q(prio=2, dei=0, vlan=0xFED) / IP(**V4)
UDP4 = UDP4 / UDP(sport=53, dport=5353) / Raw(b"abc")
ICMP4 = Ether(**ETHER) / IP(**V4) / ICMP(type=8, code=3, id=0xABCD, seq=0x0102) / Raw(b"ping!")
ICMP6 = (
    Ether(**ETHER) / IPv6(tc=0xB9, fl=0xABCDE, hlim=7, **V6) / ICMPv6EchoRequest(id=0xABCD, seq=0x0102, data=b"pong")
)
EXTENDED = (
    Ether(**ETHER)
    / IPv6(**V6)
    / IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)])
    / IPv6ExtHdrRouting(addresses=["2001:db8::9"], segleft=0)
    / IPv6ExtHdrFragment(offset=0, m=0, id=0xCAFEBABE)
    / IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 12)])
    / TCP(sport=1, dport=2)
    / Raw(b"odd")
)
ARP4 = Ether(**ETHER) / ARP(
    op=2, hwsrc="06:11:22:33:44:55", psrc="192.0.2.9", hwdst="02:aa:bb:cc:dd:ee", pdst="192.0.2.250"
)


def checksum(frame: Scapy, layer: type[Scapy]) -> int:
    return int(Ether(bytes(frame))[layer].fields["cksum" if layer is ICMPv6EchoRequest else "chksum"])
