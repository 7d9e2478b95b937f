"""Packets that scapy built, and the interpreted `Packet` over them."""

from __future__ import annotations

from typing import Any

from scapy.contrib.mpls import MPLS
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
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP, GRE, LLC, SNAP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.sctp import SCTP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet as Scapy
from scapy.packet import Raw

from burstline.packet.packet import Packet
from burstline.packet.parser import LINK_ETHERNET, parse_levels

ETHER: dict[str, Any] = {"dst": "02:00:00:00:00:01", "src": "06:11:22:33:44:55"}
V4: dict[str, Any] = {"src": "192.0.2.1", "dst": "198.51.100.77"}
V6: dict[str, Any] = {"src": "2001:db8::1", "dst": "2001:db8:ffff::abcd"}
OPTIONS4 = b"\x94\x04\x00\x00"
OPTIONS_TCP = b"\x02\x04\x05\xb4\x01\x01\x04\x02"


def packet_of(frame: Scapy | bytes, link: int = LINK_ETHERNET, captured: int | None = None) -> Packet:
    whole = bytes(frame)
    data = bytearray(whole[:captured])
    return Packet(data, len(whole), 1_700_000_000_123_456_789, 3, parse_levels(memoryview(data), len(data), link))


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
SNAPPED = Dot3(**ETHER) / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0x00000C, code=0x2000) / Raw(b"cdp")
LABELLED = Ether(**ETHER) / MPLS(label=0xABCDE, cos=5, s=0, ttl=9) / MPLS(label=16, cos=2, s=1, ttl=200) / IP(**V4)
LABELLED = LABELLED / UDP(sport=7, dport=9) / Raw(b"mpls")
SESSION = Ether(**ETHER) / PPPoE(sessionid=0x1234) / PPP(proto=0x0057) / IPv6(**V6) / TCP(sport=80) / Raw(b"p")
PROTECTED = Ether(**ETHER) / IP(proto=51, **V4) / AH(nh=50, payloadlen=4, spi=0xA1B2C3D4, seq=0x01020304, icv=b"v" * 12)
PROTECTED = PROTECTED / ESP(spi=0xE1E2E3E4, seq=0x05060708, data=b"secret")
STREAMS = Ether(**ETHER) / IP(**V4) / SCTP(sport=36412, dport=38412, tag=0xC0FFEE00, chksum=0x01ABCDEF) / Raw(b"chunk")
GROUP = Ether(**ETHER) / IP(proto=2, **V4) / Raw(bytes.fromhex("16 0a be ef e0 00 00 fb"))
IN_GRE = Ether(**ETHER) / IP(**V4) / GRE(chksum_present=1, key_present=1, seqnum_present=1, key=7, sequence_number=8)
IN_GRE = IN_GRE / IPv6(**V6) / UDP(sport=1000, dport=2000) / Raw(b"inside")
IN_VXLAN = Ether(**ETHER) / IP(**V4) / UDP(sport=50000, dport=4789) / VXLAN(flags=8, vni=0xFEDCBA)
IN_VXLAN = IN_VXLAN / Ether(src="02:00:00:00:00:07") / Dot1Q(vlan=77) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP()
IN_GENEVE = Ether(**ETHER) / IPv6(**V6) / UDP(sport=50001, dport=6081) / Raw(bytes.fromhex("02c0655800abcd00"))
IN_GENEVE = IN_GENEVE / Raw(b"optional" + bytes(Ether(**ETHER) / ARP()))
IN_GTPU = Ether(**ETHER) / IP(**V4) / UDP(sport=2152, dport=2152) / Raw(bytes.fromhex("32ff0024deadbeef00010000"))
IN_GTPU = IN_GTPU / IP(src="10.1.1.1", dst="10.2.2.2") / ICMP()


def checksum(frame: Scapy, layer: type[Scapy]) -> int:
    return int(Ether(bytes(frame))[layer].fields["cksum" if layer is ICMPv6EchoRequest else "chksum"])
