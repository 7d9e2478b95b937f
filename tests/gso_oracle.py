"""Large packets for GSO, and what their segments must be: plain Python over whole frames, from the RFCs. scapy makes
the headers, and says in test_gso.py whether the checksums found here are right."""

from __future__ import annotations

import functools
import random
import struct
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from burstline.offload import mbuf as m
from burstline.offload.gso import gso

MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}


@dataclass(frozen=True)
class Large:
    headers: bytes
    size: int  # of the payload
    seed: int
    l3: int
    l4: int
    v4: bool
    tcp: bool
    tunnel: str = ""
    outer_l3: int = 0
    outer_l4: int = 0
    outer_v4: bool = False

    @functools.cached_property
    def payload(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size)

    @property
    def frame(self) -> bytes:
        return self.headers + self.payload

    @property
    def flags(self) -> int:
        """What asks for segments."""
        asked = m.TX_TCP_SEG if self.tcp else m.TX_UDP_SEG
        return asked | {"": 0, "vxlan": m.TX_TUNNEL_VXLAN, "gre": m.TX_TUNNEL_GRE}[self.tunnel]

    def lengths(self, segsz: int) -> int:
        outer_l2, outer_l3 = (self.outer_l3, self.outer_l4 - self.outer_l3) if self.tunnel else (0, 0)
        l2 = self.l3 - outer_l2 - outer_l3
        return m.tx_offload(l2, self.l4 - self.l3, len(self.headers) - self.l4, segsz, outer_l3, outer_l2)

    @property
    def network(self) -> int:
        """Bytes of headers that the MTU counts."""
        return len(self.headers) - (self.outer_l3 if self.tunnel else self.l3)


def large_packet(ip: Any, transport: Any, size: int) -> Large:
    """An Ethernet frame of TCP or UDP over IP, and what is before that, with so many bytes of payload; its transport's
    checksum is still open."""
    headers = bytes(Ether(**MACS) / ip / transport / Raw(bytes(size)))[:-size]
    l4 = len(headers) - (20 if TCP in transport else 8)
    return Large(headers, size, size, l4 - (40 if IPv6 in ip else 20), l4, IPv6 not in ip, TCP in transport)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    return partial(data) ^ 0xFFFF


def partial(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(frame: bytes, l3: int, v4: bool, proto: int, size: int) -> bytes:
    if v4:
        return frame[l3 + 12 : l3 + 20] + struct.pack("!HH", proto, size)  # RFC 9293 section 3.1
    return frame[l3 + 8 : l3 + 40] + struct.pack("!II", size, proto)  # RFC 8200 section 8.1


def flags_left(large: Large, port: int) -> int:
    """What the port is told to fill in."""
    outer_udp = large.tunnel == "vxlan" and large.headers[large.outer_l4 + 6 : large.outer_l4 + 8] != b"\0\0"
    if large.tunnel and not port & gso.OUTER_IP:
        return 0
    l4 = (m.TX_TCP_CKSUM, gso.TCP) if large.tcp else (m.TX_UDP_CKSUM, gso.UDP)
    asked = [(large.v4, gso.IP, m.TX_IP_CKSUM), (True, l4[1], l4[0])]
    asked += [(large.outer_v4, gso.OUTER_IP, m.TX_OUTER_IP_CKSUM), (outer_udp, gso.OUTER_UDP, m.TX_OUTER_UDP_CKSUM)]
    return sum(flag for there, bit, flag in asked if there and port & bit)


def segments(large: Large, segsz: int, left: int = 0, fixed_id: bool = False) -> list[bytes]:
    """The frames, with what is `left` to the port as the port wants it."""
    parts = [large.payload[k : k + segsz] for k in range(0, len(large.payload), segsz)] or [b""]
    return [
        _segment(large, part, number, number == len(parts) - 1, number * segsz, left, fixed_id)
        for number, part in enumerate(parts)
    ]


def _segment(large: Large, part: bytes, number: int, last: bool, done: int, left: int, fixed_id: bool) -> bytes:
    frame = bytearray(large.headers + part)
    l4, size = large.l4, len(frame) - large.l4
    if large.tcp:
        (seq,) = struct.unpack_from("!I", frame, l4 + 4)
        struct.pack_into("!I", frame, l4 + 4, (seq + done) % 2**32)
        if not last:
            frame[l4 + 13] &= ~0b1001  # FIN and PSH
        if number:
            frame[l4 + 13] &= ~0b10000000  # CWR
    else:
        struct.pack_into("!H", frame, l4 + 4, size)
    _network(frame, large.l3, large.v4, number, fixed_id)
    _fill(frame, large.l4, large.l3, large.v4, large.tcp)
    whole = bytes(frame)
    if left & m.TX_L4_MASK:  # the sum of the pseudo header, as rte_ipv4_phdr_cksum makes it
        at = l4 + (16 if large.tcp else 6)
        _put(frame, at, partial(pseudo(whole, large.l3, large.v4, 6 if large.tcp else 17, size)))
    if left & m.TX_IP_CKSUM:
        _put(frame, large.l3 + 10, 0)
    if large.tunnel:
        _tunnel(frame, bytearray(whole), large, number, left, fixed_id)
    return bytes(frame)


def _tunnel(frame: bytearray, whole: bytearray, large: Large, number: int, left: int, fixed_id: bool) -> None:
    """The outer headers of a frame; `whole` is the same with all inner checksums filled in, which outer ones cover."""
    at, size = large.outer_l4, len(frame) - large.outer_l4
    for each in (frame, whole):
        _network(each, large.outer_l3, large.outer_v4, number, fixed_id)
        if large.tunnel == "vxlan":
            struct.pack_into("!H", each, at + 4, size)
    if large.tunnel == "vxlan" and whole[at + 6 : at + 8] != b"\0\0":
        _fill(whole, at, large.outer_l3, large.outer_v4, False)
        frame[at + 6 : at + 8] = whole[at + 6 : at + 8]
        if left & m.TX_OUTER_UDP_CKSUM:
            _put(frame, at + 6, partial(pseudo(bytes(whole), large.outer_l3, large.outer_v4, 17, size)))
    elif large.tunnel == "gre" and whole[at] & 0x80:
        _put(whole, at + 4, 0)
        _put(frame, at + 4, checksum(bytes(whole[at:])))  # RFC 2784 section 2.5
    if left & m.TX_OUTER_IP_CKSUM:
        _put(frame, large.outer_l3 + 10, 0)


def _network(frame: bytearray, l3: int, v4: bool, number: int, fixed_id: bool) -> None:
    if not v4:
        struct.pack_into("!H", frame, l3 + 4, len(frame) - l3 - 40)
        return
    _, identification, fragment = struct.unpack_from("!HHH", frame, l3 + 2)
    if not (fixed_id and fragment & 0x4000):
        identification = (identification + number) % 65536
    struct.pack_into("!HH", frame, l3 + 2, len(frame) - l3, identification)
    _put(frame, l3 + 10, 0)
    _put(frame, l3 + 10, checksum(bytes(frame[l3 : l3 + (frame[l3] & 15) * 4])))


def _fill(frame: bytearray, l4: int, l3: int, v4: bool, tcp: bool) -> None:
    at = l4 + (16 if tcp else 6)
    _put(frame, at, 0)
    found = checksum(pseudo(bytes(frame), l3, v4, 6 if tcp else 17, len(frame) - l4) + bytes(frame[l4:]))
    _put(frame, at, found if found or tcp else 0xFFFF)


def _put(frame: bytearray, at: int, value: int) -> None:
    struct.pack_into("!H", frame, at, value)


@st.composite
def larges(draw: st.DrawFn, size: st.SearchStrategy[int], plain: bool = False) -> Large:
    """`plain` without tunnels, options of IP, and extension headers. Lengths and checksums in them mean nothing."""
    seed, length = draw(st.integers(0, 2**32)), draw(size)
    noise = random.Random(seed)
    v4, tcp, tunnel = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from(["", "", "vxlan", "gre", "teb"]))
    inner = _ip(draw, noise, v4, 6 if tcp else 17, plain)
    l4 = _tcp(draw, noise) if tcp else bytes(UDP(sport=noise.randrange(65536), dport=9, chksum=7, len=8))
    kind = 0x0800 if v4 else 0x86DD
    if plain or not tunnel:
        front = _ether(draw, kind, 1 if plain else 2)
        return Large(front + inner + l4, length, seed, len(front), len(front + inner), v4, tcp)
    outer_v4 = draw(st.booleans())
    if tunnel == "vxlan":
        between = bytes(UDP(sport=noise.randrange(65536), dport=4789, len=8, chksum=draw(st.sampled_from([0, 0x1234]))))
        between += bytes(VXLAN(vni=noise.randrange(1 << 24), flags=8))
    else:
        check, key = draw(st.integers(0, 1)), draw(st.integers(0, 1))
        proto = 0x6558 if tunnel == "teb" else kind
        between = bytes(GRE(chksum_present=check, chksum=7, key_present=key, key=noise.randrange(1 << 32), proto=proto))
    if tunnel != "gre":
        between += _ether(draw, kind, 1)
    front = _ether(draw, 0x0800 if outer_v4 else 0x86DD, 2)
    outer = _ip(draw, noise, outer_v4, 17 if tunnel == "vxlan" else 47, plain)
    l3 = len(front + outer + between)
    return Large(
        front + outer + between + inner + l4, length, seed, l3, l3 + len(inner), v4, tcp,
        "vxlan" if tunnel == "vxlan" else "gre", len(front), len(front + outer), outer_v4,
    )  # fmt: skip


def _ether(draw: st.DrawFn, kind: int, most_tags: int) -> bytes:
    tags = draw(st.lists(st.sampled_from([(Dot1Q, 0x8100), (Dot1AD, 0x88A8)]), max_size=most_tags))
    kinds = [kind for _, kind in tags] + [kind]
    made = bytes(Ether(**MACS, type=kinds[0]))
    for (tag, _), following in zip(tags, kinds[1:], strict=True):
        made += bytes(tag(vlan=draw(st.integers(0, 4095)), type=following))
    return made


def _ip(draw: st.DrawFn, noise: random.Random, v4: bool, proto: int, plain: bool) -> bytes:
    if v4:
        options = b"" if plain else draw(st.sampled_from([b"", b"", b"\x01\x01\x01\x00", b"\x94\x04\x00\x00"]))
        identification = draw(st.sampled_from([0, 1, 65530, 65535, 12345]))
        flags = draw(st.sampled_from(["DF", ""]))
        src, dst = (".".join(str(b) for b in noise.randbytes(4)) for _ in range(2))
        ihl = 5 + len(options) // 4
        made = IP(src=src, dst=dst, id=identification, flags=flags, proto=proto, len=7, chksum=7, ihl=ihl)
        return bytes(made) + options
    kinds = (
        [] if plain else draw(st.lists(st.sampled_from([(IPv6ExtHdrHopByHop, 0), (IPv6ExtHdrDestOpt, 60)]), max_size=2))
    )
    following = [kind for _, kind in kinds] + [proto]
    made = IPv6(src=_v6(noise), dst=_v6(noise), nh=following[0], plen=7, fl=noise.randrange(1 << 20), hlim=64)
    return bytes(made) + b"".join(bytes(k(nh=n)) for (k, _), n in zip(kinds, following[1:], strict=True))


def _v6(noise: random.Random) -> str:
    return ":".join(f"{noise.randrange(1, 65536):x}" for _ in range(8))


def _tcp(draw: st.DrawFn, noise: random.Random) -> bytes:
    options = draw(st.sampled_from([[], [("NOP", None), ("NOP", None), ("Timestamp", (1, 2))], [("NOP", None)] * 40]))
    seq = draw(st.sampled_from([0, 2**31, 2**32 - 1, 2**32 - 3000, noise.randrange(2**32)]))
    flags = draw(st.sampled_from(["A", "PA", "FPA", "FA", "CA", "CPA", "ECPFA", "UA"]))
    return bytes(
        TCP(sport=noise.randrange(65536), dport=80, seq=seq, ack=5, flags=flags, options=options, chksum=7, urgptr=3)
    )


def layouts() -> st.SearchStrategy[list[int]]:
    """Bytes of a frame that its first mbufs hold, one after the other."""
    return st.lists(st.sampled_from([0, 1, 13, 54, 100, 1448, 2000, 40000]) | st.integers(1, 9000), max_size=4)
