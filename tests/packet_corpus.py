"""Named packets of every state of the parser and of their combinations, as scapy and hand-written headers make them.

`corpus()` gives Ethernet frames by name. Nothing in them is random, so that a name stands for the same bytes always.
"""

from __future__ import annotations

import functools
import itertools
import struct
from collections.abc import Iterator
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
from scapy.layers.l2 import ARP, LLC, SNAP, STP, Dot1AD, Dot1Q, Dot3, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.packet import Raw

ETHER = {"dst": "02:00:00:00:00:01", "src": "06:11:22:33:44:55"}
V4 = {"src": "192.0.2.1", "dst": "198.51.100.77"}
V6 = {"src": "2001:db8::1", "dst": "2001:db8:ffff::abcd"}
IN4 = {"src": "10.1.2.3", "dst": "10.200.100.50"}
IN6 = {"src": "fd00::1:2", "dst": "fd00::3:4"}
DATA = Raw(b"sixteen bytes ..")
Built = Any  # a scapy layer or bytes


def eth(kind: int | None = None) -> Any:
    return Ether(**ETHER) if kind is None else Ether(type=kind, **ETHER)


def ip(**more: Any) -> Any:
    return IP(id=7, **V4, **more)


def ip6(**more: Any) -> Any:
    return IPv6(**V6, **more)


def tcp(**more: Any) -> Any:
    return TCP(sport=43210, dport=443, seq=1, ack=2, flags="PA", **more)


def udp(dport: int = 5353, **more: Any) -> Any:
    return UDP(sport=50123, dport=dport, **more)


def inner4(above: Any = None) -> Any:
    return IP(id=9, **IN4) / (above if above is not None else TCP(sport=81, dport=82)) / DATA


def inner6(above: Any = None) -> Any:
    return IPv6(**IN6) / (above if above is not None else UDP(sport=83, dport=84)) / DATA


def frame(payload: Any, kind: int | None = None) -> Any:
    return Ether(dst="0a:00:00:00:00:02", src="0a:00:00:00:00:03", **({} if kind is None else {"type": kind})) / payload


# ---- headers by hand: every bit of them is said ----


def gre(flags: int, protocol: int, words: bytes = b"") -> Raw:
    return Raw(struct.pack("!HH", flags, protocol) + words)


def vxlan(vni: int = 0x123456, flags: int = 8) -> Raw:
    return Raw(struct.pack("!II", flags << 24, vni << 8))


def geneve(protocol: int = 0x6558, options: bytes = b"", vni: int = 0x654321, version: int = 0) -> Raw:
    return Raw(struct.pack("!BBHI", version << 6 | len(options) // 4, 0, protocol, vni << 8) + options)


def gtpu(payload: Any, flags: int = 0, optional: bytes = b"", kind: int = 255, length: int | None = None) -> Raw:
    body = optional + bytes(payload)
    return Raw(struct.pack("!BBHI", 0x30 | flags, kind, len(body) if length is None else length, 0xABCD) + body)


def ah(following: int, icv: bytes = b"twelve bytes") -> Raw:
    return Raw(struct.pack("!BBHII", following, (12 + len(icv)) // 4 - 2, 0, 0x1001, 5) + icv)


def esp() -> Raw:
    return Raw(struct.pack("!II", 0x2002, 6) + b"what nobody can read but who has the key")


def pppoe(protocol: int, payload: Any, code: int = 0) -> Raw:
    body = struct.pack("!H", protocol) + bytes(payload)
    return Raw(struct.pack("!BBHH", 0x11, code, 0x77, len(body)) + body)


def labels(count: int, payload: Any) -> Any:
    stack = payload
    for k in reversed(range(count)):
        stack = MPLS(label=1000 + k, cos=k & 7, s=int(k == count - 1), ttl=60 + k) / stack
    return stack


def _links() -> Iterator[tuple[str, Built]]:
    for name, l3 in (("ipv4", ip()), ("ipv6", ip6())):
        for l4_name, l4 in (("tcp", tcp()), ("udp", udp())):
            yield f"{name} {l4_name}", eth() / l3 / l4 / DATA
            yield f"{name} {l4_name} in a vlan", eth() / Dot1Q(vlan=5, prio=3) / l3 / l4 / DATA
            yield f"{name} {l4_name} in 802.1ad and 802.1Q", eth() / Dot1AD(vlan=100) / Dot1Q(vlan=7) / l3 / l4 / DATA
    three = eth() / Dot1AD(vlan=1, dei=1) / Dot1Q(vlan=2) / Dot1Q(vlan=4094) / ip() / udp() / DATA
    yield "three tags", three
    yield "eight tags", eth(0x8100) / Raw(bytes.fromhex("00058100") * 7 + bytes.fromhex("00060800")) / ip() / udp()
    yield "0x9100", eth(0x9100) / Raw(bytes.fromhex("0064810000070800")) / ip() / udp() / DATA
    yield "priority tag", eth() / Dot1Q(vlan=0, prio=7, dei=1) / ip() / tcp()
    yield "tag and nothing known", eth() / Dot1Q(vlan=9, type=0x88B5) / DATA
    yield "arp", eth() / ARP(psrc="192.0.2.1", pdst="192.0.2.9")
    yield "arp padded", eth() / ARP(psrc="192.0.2.1", pdst="192.0.2.9") / Raw(bytes(18))
    yield "arp in a vlan", eth() / Dot1Q(vlan=77) / ARP(op=2)
    yield "arp of another hardware", eth(0x0806) / Raw(bytes.fromhex("0006080006040001") + bytes(20))
    yield "unknown ethertype", eth(0x88B5) / DATA
    yield "short frame", bytes(eth() / DATA)[:13]
    yield "llc stp", Dot3(**ETHER) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()
    yield "llc of numbered frames", Dot3(**ETHER) / Raw(bytes.fromhex("e0e00102")) / DATA
    yield "llc in a vlan", eth(0x8100) / Raw(bytes.fromhex("00050026424203")) / Raw(bytes(35))
    snap = LLC(dsap=0xAA, ssap=0xAA, ctrl=3)
    yield "snap ipv4", Dot3(**ETHER) / snap / SNAP(OUI=0, code=0x0800) / ip() / udp() / DATA
    yield "snap ipv6", Dot3(**ETHER) / snap / SNAP(OUI=0, code=0x86DD) / ip6() / tcp() / DATA
    yield "snap arp", Dot3(**ETHER) / snap / SNAP(OUI=0, code=0x0806) / ARP()
    yield "snap of an organisation", Dot3(**ETHER) / snap / SNAP(OUI=0x00000C, code=0x2000) / DATA
    yield "802.3 length that lies", Dot3(len=1400, **ETHER) / snap / SNAP(OUI=0, code=0x0800) / ip() / udp() / DATA
    yield "802.3 padded", bytes(Dot3(**ETHER) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()).ljust(60, b"\0")
    yield "802.3 of length 0", eth(0) / DATA
    for count in range(1, 6):
        yield f"mpls {count} ipv4", eth(0x8847) / labels(count, ip() / tcp() / DATA)
        yield f"mpls {count} ipv6", eth(0x8848) / labels(count, ip6() / udp() / DATA)
    yield "mpls in vlans", eth() / Dot1AD(vlan=3) / Dot1Q(vlan=4, type=0x8847) / labels(2, ip() / udp() / DATA)
    yield "mpls with a pseudowire", eth(0x8847) / labels(1, Raw(bytes(4)) / frame(inner4()))
    yield "mpls without a bottom", eth(0x8847) / Raw(bytes.fromhex("003e8040") * 3)
    yield "pppoe ipv4", eth(0x8864) / pppoe(0x21, ip() / tcp() / DATA)
    yield "pppoe ipv6", eth(0x8864) / pppoe(0x57, ip6() / udp() / DATA)
    yield "pppoe in vlans", eth() / Dot1AD(vlan=3) / Dot1Q(vlan=4, type=0x8864) / pppoe(0x21, ip() / udp() / DATA)
    yield "pppoe lcp", eth(0x8864) / pppoe(0xC021, bytes.fromhex("09010008deadbeef"))
    yield "pppoe of another code", eth(0x8864) / pppoe(0x21, ip() / udp(), code=0xA7)
    yield "pppoe mpls", eth(0x8864) / pppoe(0x281, labels(1, ip() / udp() / DATA))


def _ipv4() -> Iterator[tuple[str, Built]]:
    for words in (1, 5, 10):
        options = b"\x94\x04\x00\x00" + b"\x01" * (4 * words - 4)
        yield f"ipv4 with {words} words of options", eth() / IP(id=7, options=options, **V4) / tcp() / DATA
    yield "tcp with options", eth() / ip() / tcp(options=[("MSS", 1460), ("NOP", None), ("WScale", 7)]) / DATA
    yield "tcp with all options", eth() / ip() / tcp(options=[("NOP", None)] * 40) / DATA
    yield "tcp with a header of 4", eth() / ip() / tcp(dataofs=1) / DATA
    yield "tcp with a header past the end", eth() / ip() / tcp(dataofs=15)
    yield "ipv4 first fragment", eth() / ip(flags="MF") / udp(len=2000) / Raw(bytes(32))
    yield "ipv4 middle fragment", eth() / ip(flags="MF", frag=100, proto=17) / Raw(bytes(40))
    yield "ipv4 last fragment", eth() / ip(frag=200, proto=6) / Raw(bytes(30))
    yield "ipv4 of length 0", eth() / ip(len=0) / tcp() / DATA
    yield "ipv4 that is too long", eth() / ip(len=1400) / udp() / DATA
    yield "ipv4 that is shorter than its header", eth() / ip(len=12) / udp() / DATA
    yield "ipv4 padded", eth() / ip() / udp() / Raw(b"x") / Raw(bytes(17))
    yield "ipv4 with ihl 4", eth() / ip(ihl=4) / udp() / DATA
    yield "ipv4 of version 5", eth(0x0800) / ip(version=5) / udp() / DATA
    yield "ipv4 with ihl past the end", eth() / IP(ihl=15, proto=17, **V4) / Raw(b"short")
    yield "udp of length 0", eth() / ip() / udp(len=0) / DATA
    yield "udp of length 4", eth() / ip() / udp(len=4) / DATA
    yield "udp that is too long", eth() / ip() / udp(len=900) / DATA
    yield "udp that is shorter", eth() / ip() / udp(len=12) / DATA
    yield "icmp", eth() / ip() / ICMP(id=1, seq=2) / DATA
    yield "icmp of an error", eth() / ip() / ICMP(type=3, code=4) / inner4()
    alert = b"\x94\x04\x00\x00"
    yield "igmp 1", eth() / IP(dst="224.0.0.1", proto=2, options=alert) / Raw(bytes.fromhex("1200ed00e0010101"))
    yield "igmp 2", eth() / IP(dst="224.0.0.1", proto=2, options=alert) / Raw(bytes.fromhex("16000901e0010101"))
    report = bytes.fromhex("220000000000000104000000e0010101")
    yield "igmp 3", eth() / IP(dst="224.0.0.22", proto=2) / Raw(report)
    chunk = SCTPChunkData(data=b"chunk")
    yield "sctp", eth() / ip() / SCTP(sport=2905, dport=2906, tag=9) / chunk
    yield "sctp over ipv6", eth() / ip6() / SCTP(sport=2905, dport=2906, tag=9) / chunk
    yield "esp", eth() / ip(proto=50) / esp()
    yield "esp over ipv6", eth() / ip6(nh=50) / esp()
    for name, number, l4 in (("tcp", 6, tcp()), ("udp", 17, udp()), ("esp", 50, esp()), ("icmp", 1, ICMP())):
        # built on its own: a checksum over a pseudo-header needs the header that is not right before it
        yield f"ah {name}", eth() / ip(proto=51) / ah(number) / Raw(bytes(l4 / DATA))
    yield "ah ipv4", eth() / ip(proto=51) / ah(4) / inner4()
    yield "ah that is cut", eth() / ip(proto=51, len=50) / ah(6, b"x" * 40)
    yield "unknown protocol", eth() / ip(proto=253) / DATA
    yield "dccp", eth() / ip(proto=33) / Raw(bytes.fromhex("1389138a") + bytes(20))
    yield "udp-lite", eth() / ip(proto=136) / Raw(bytes.fromhex("1389138a00080000") + bytes(20))
    yield "tcp that is cut", eth() / ip(proto=6) / Raw(bytes(tcp())[:18])


def _ipv6() -> Iterator[tuple[str, Built]]:
    kinds: dict[str, Any] = {
        "hop": IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]),
        "routing": IPv6ExtHdrRouting(addresses=["2001:db8::9"]),
        "options": IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(12))]),
        "fragment": IPv6ExtHdrFragment(offset=0, m=0, id=77),
    }
    for count in (1, 2, 3, 4):
        for order in itertools.permutations(kinds, count):
            packet: Any = eth() / ip6()
            for name in order:
                packet = packet / kinds[name]
            # scapy leaves next headers to the following layer; UDP and TCP in turn
            yield f"ipv6 {' '.join(order)}", packet / (tcp() if len(order[0]) % 2 else udp()) / DATA
    yield "ipv6 ah", eth() / ip6(nh=51) / ah(17) / Raw(bytes(udp(len=24, chksum=1) / DATA))
    behind = IPv6ExtHdrDestOpt(nh=17) / Raw(bytes(udp(len=24, chksum=1) / DATA))
    yield "ipv6 ah options", eth() / ip6(nh=51) / ah(60) / behind
    yield "ipv6 hop ah esp", eth() / ip6() / IPv6ExtHdrHopByHop(nh=51) / ah(50) / esp()
    yield "ipv6 first fragment", eth() / ip6() / IPv6ExtHdrFragment(m=1, id=5) / udp(len=900) / Raw(bytes(32))
    yield "ipv6 middle fragment", eth() / ip6() / IPv6ExtHdrFragment(offset=50, m=1, nh=17, id=5) / Raw(bytes(40))
    yield "ipv6 last fragment", eth() / ip6() / IPv6ExtHdrFragment(offset=99, nh=6, id=5) / Raw(bytes(40))
    yield "ipv6 no next header", eth() / ip6(nh=59) / DATA
    yield "ipv6 mobility", eth() / ip6(nh=135) / Raw(bytes.fromhex("3b00050000000000"))
    yield "ipv6 of length 0", eth() / ip6(plen=0) / udp() / DATA
    jumbo = Raw(bytes.fromhex("1100c20400010000"))
    yield "ipv6 jumbogram", eth() / ip6(plen=0, nh=0) / jumbo / udp(len=0) / DATA
    yield "ipv6 that is too long", eth() / ip6(plen=1400) / udp() / DATA
    yield "ipv6 shorter than udp", eth() / ip6(plen=4) / udp() / DATA
    yield "ipv6 options past the end", eth() / ip6(nh=60) / Raw(b"\x11\xff" + bytes(14))
    yield "icmpv6", eth() / ip6() / ICMPv6EchoRequest(id=1, seq=2) / DATA
    yield "ipv6 tcp padded", eth() / ip6() / tcp() / Raw(b"x") / Raw(bytes(3))


def _gre() -> Iterator[tuple[str, Built]]:
    for bits in range(8):
        flags = (bits & 1) << 15 | (bits & 2) << 12 | (bits & 4) << 10
        words = (b"\x12\x34\0\0" if bits & 1 else b"") + (b"key!" if bits & 2 else b"")
        words += b"\0\0\0\x09" if bits & 4 else b""
        name = "".join(letter for k, letter in enumerate("CKS") if bits >> k & 1) or "no words"
        for outer_name, outer in (("ipv4", ip(proto=47)), ("ipv6", ip6(nh=47))):
            yield f"gre {name} over {outer_name} of ipv4", eth() / outer / gre(flags, 0x0800, words) / inner4()
            yield f"gre {name} over {outer_name} of ipv6", eth() / outer / gre(flags, 0x86DD, words) / inner6()
            yield (
                f"gre {name} over {outer_name} of ethernet",
                eth() / outer / gre(flags, 0x6558, words) / frame(inner4()),
            )
    yield "gre of mpls", eth() / ip(proto=47) / gre(0, 0x8847) / labels(2, inner4())
    yield "gre of a vlan", eth() / ip(proto=47) / gre(0, 0x8100) / Raw(bytes.fromhex("00050800")) / inner4()
    yield "gre of an unknown protocol", eth() / ip(proto=47) / gre(0, 0x1234) / DATA
    yield "gre of a vlan in ethernet", eth() / ip(proto=47) / gre(0, 0x6558) / frame(Dot1Q(vlan=55) / inner6())
    routes = b"\0\0\0\0" + bytes.fromhex("08000004c0000201") + bytes.fromhex("00000000")
    yield "gre with source routes", eth() / ip(proto=47) / gre(0x4000, 0x0800, routes) / inner4()
    yield "gre with source routes past the end", eth() / ip(proto=47) / gre(0x4000, 0x0800, routes[:-4])
    yield "gre version 1", eth() / ip(proto=47) / gre(0x3081, 0x880B, bytes(12)) / Raw(b"\xff\x03\x00\x21") / inner4()
    yield "gre version 2", eth() / ip(proto=47) / gre(2, 0x0800) / inner4()
    yield "gre that is cut", eth() / ip(proto=47) / gre(0xB000, 0x0800, b"12345678")


def _tunnels() -> Iterator[tuple[str, Built]]:
    yield "ipv4 in ipv4", eth() / ip() / inner4()
    yield "ipv6 in ipv4", eth() / ip() / inner6()
    yield "ipv4 in ipv6", eth() / ip6() / inner4()
    yield "ipv6 in ipv6", eth() / ip6() / inner6()
    yield "ipv4 in ipv6 with options", eth() / ip6() / IPv6ExtHdrDestOpt() / inner4()
    yield "icmp in ipv4 in ipv4", eth() / ip() / inner4(ICMP())
    yield "fragment of ipv4 in ipv4", eth() / ip(flags="MF") / inner4()
    yield "later fragment of ipv4 in ipv4", eth() / ip(frag=9, proto=4) / inner4()
    yield "fragment in ipv4", eth() / ip() / IP(frag=9, proto=17, **IN4) / DATA
    yield "not ipv4 in ipv4", eth() / ip(proto=4) / DATA
    for name, outer in (("ipv4", ip()), ("ipv6", ip6())):
        for inside_name, inside in (("ipv4", inner4()), ("ipv6", inner6())):
            yield f"vxlan over {name} of {inside_name}", eth() / outer / udp(4789) / vxlan() / frame(inside)
            yield f"geneve over {name} of {inside_name}", eth() / outer / udp(6081) / geneve() / frame(inside)
            yield f"gtpu over {name} of {inside_name}", eth() / outer / udp(2152) / gtpu(inside)
    yield "vxlan in a vlan", eth() / Dot1Q(vlan=33) / ip() / udp(4789) / vxlan() / frame(Dot1Q(vlan=44) / inner4())
    yield "vxlan of arp", eth() / ip() / udp(4789) / vxlan() / frame(ARP())
    yield (
        "vxlan of a stack of tags",
        eth() / ip() / udp(4789) / vxlan() / frame(Dot1AD(vlan=1) / Dot1Q(vlan=2) / inner6()),
    )
    yield "vxlan without flag I", eth() / ip() / udp(4789) / vxlan(flags=0) / frame(inner4())
    yield "vxlan by source port", eth() / ip() / UDP(sport=4789, dport=9) / vxlan() / frame(inner4())
    yield "vxlan that is cut", eth() / ip() / udp(4789) / Raw(b"\x08\0\0\0\0\0")
    yield "vxlan of mpls", eth() / ip() / udp(4789) / vxlan() / frame(labels(2, inner4()), 0x8847)
    option = bytes.fromhex("0102800144556677")
    yield "geneve with options", eth() / ip() / udp(6081) / geneve(options=option * 3) / frame(inner4())
    yield "geneve of ipv4", eth() / ip() / udp(6081) / geneve(0x0800) / inner4()
    yield "geneve of ipv6", eth() / ip() / udp(6081) / geneve(0x86DD, option) / inner6()
    yield "geneve version 1", eth() / ip() / udp(6081) / geneve(version=1) / frame(inner4())
    yield "geneve with options past the end", eth() / ip() / udp(6081) / Raw(b"\x3f\0\x65\x58\0\0\1\0")
    four = struct.pack("!HBB", 17, 0, 0)
    yield "gtpu with a sequence number", eth() / ip() / udp(2152) / gtpu(inner4(), 2, four)
    yield "gtpu with an n-pdu number", eth() / ip() / udp(2152) / gtpu(inner6(), 1, four)
    container = b"\x01\x10\x05\x00"  # of a PDU session: 4 bytes, none follows
    yield "gtpu with a container", eth() / ip() / udp(2152) / gtpu(inner4(), 4, b"\0\0\0\x85" + container)
    two = b"\0\0\0\x40\x01\0\x05\x85" + container
    yield "gtpu with two extensions", eth() / ip() / udp(2152) / gtpu(inner6(), 6, two)
    yield "gtpu with an extension of length 0", eth() / ip() / udp(2152) / gtpu(inner4(), 4, b"\0\0\0\x85\0\0\0\0")
    yield "gtpu echo", eth() / ip() / udp(2152) / gtpu(b"", 2, four, kind=1)
    yield "gtpu that is too long", eth() / ip() / udp(2152) / gtpu(inner4(), length=1400)
    yield "gtpu that is shorter", eth() / ip() / udp(2152) / gtpu(inner4(), length=30)
    yield "gtpu of nothing", eth() / ip() / udp(2152) / gtpu(b"")
    deep = ip() / udp(4789) / vxlan() / frame(ip(proto=47) / gre(0x2000, 0x86DD, b"key!") / inner6())
    yield "gre in vxlan", eth() / deep
    deeper = ip6() / udp(6081) / geneve() / frame(ip() / udp(4789) / vxlan() / frame(IP(**IN4) / inner6()))
    yield "6in4 in vxlan in geneve", eth() / deeper
    yield "gtpu in gre in ipv4", eth() / ip() / IP(proto=47, **IN4) / gre(0, 0x0800) / ip() / udp(2152) / gtpu(inner4())
    yield "tunnel in pppoe", eth(0x8864) / pppoe(0x21, ip() / inner6())
    yield "tunnel in mpls", eth(0x8847) / labels(3, ip() / udp(4789) / vxlan() / frame(inner4()))


@functools.cache
def corpus() -> dict[str, bytes]:
    """Ethernet frames by name."""
    found: dict[str, bytes] = {}
    for part in (_links(), _ipv4(), _ipv6(), _gre(), _tunnels()):
        for name, packet in part:
            assert name not in found, name
            found[name] = bytes(packet)
    return found


def truncations() -> Iterator[tuple[str, bytes]]:
    """The frames cut in the middle of each of their headers: at every fourth length."""
    for name, data in corpus().items():
        for size in range(12, min(len(data), 160), 4):
            yield f"{name}, {size} bytes of it", data[:size]
