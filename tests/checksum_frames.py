"""Frames with every kind of checksum, by scapy, which computes them; where each checksum is; and mbufs that hold them
in any pieces."""

from __future__ import annotations

import functools
import os
import random
from dataclasses import dataclass
from typing import Any
from unittest import mock

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP, SCTPChunkData
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from burstline.native.kernel import Kernel
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import Checksums
from burstline.state.region import Block, Region

KINDS = {"tcp": TCP, "udp": UDP, "sctp": SCTP, "icmp": ICMP, "icmp6": ICMPv6EchoRequest}
FIELDS = {"tcp": 16, "udp": 6, "sctp": 8, "icmp": 2, "icmp6": 2}
TUNNELS = ("", "", "vxlan", "vxlan-bare", "gre", "gre-ether")  # bare: no checksum of UDP
ROOM = 1 << 17


@dataclass(frozen=True)
class Frame:
    """A whole frame and where things are in it; `outer_l3` is 0 without a tunnel."""

    raw: bytes
    kind: str
    v4: bool
    l3: int
    l4: int
    end: int  # of what the transport's checksum covers
    tunnel: str = ""
    outer_v4: bool = False
    outer_l3: int = 0
    outer_l4: int = 0
    special: bool = False  # IPv6 with extension headers

    @property
    def field(self) -> int:
        return self.l4 + FIELDS[self.kind]

    @property
    def field_size(self) -> int:
        return 4 if self.kind == "sctp" else 2

    @property
    def checksum(self) -> bytes:
        return self.raw[self.field : self.field + self.field_size]

    def but(self, at: int, data: bytes) -> bytes:
        return self.raw[:at] + data + self.raw[at + len(data) :]


def sum16(data: bytes) -> int:
    """RFC 1071, big-endian, folded and not complemented."""
    total = sum(int.from_bytes(data[k : k + 2].ljust(2, b"\0"), "big") for k in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(raw: bytes, v4: bool, l3: int, proto: int, size: int) -> bytes:
    """The sum of the pseudo header as it is written into a packet."""
    addresses = raw[l3 + 12 : l3 + 20] if v4 else raw[l3 + 8 : l3 + 40]
    return sum16(addresses + size.to_bytes(4, "big") + proto.to_bytes(4, "big")).to_bytes(2, "big")


def pseudo_of(frame: Frame, size: int | None = None) -> bytes:
    proto = {"tcp": 6, "udp": 17, "icmp6": 58}[frame.kind]
    return pseudo(frame.raw, frame.v4, frame.l3, proto, frame.end - frame.l4 if size is None else size)


@st.composite
def frames(
    draw: st.DrawFn,
    kinds: tuple[str, ...] = tuple(KINDS),
    largest: int = 300,
    tunnels: tuple[str, ...] = TUNNELS,
) -> Frame:
    chance = random.Random(draw(st.integers(0, 1 << 32)))
    kind = draw(st.sampled_from(kinds))
    v4 = kind == "icmp" or (kind != "icmp6" and draw(st.booleans()))
    payload = chance.randbytes(draw(st.integers(0, largest)))
    tunnel = draw(st.sampled_from(tunnels))

    def address(is_v4: bool) -> str:
        data = chance.randbytes(4 if is_v4 else 16)
        return ".".join(map(str, data)) if is_v4 else ":".join(data[k : k + 2].hex() for k in range(0, 16, 2))

    def ip(is_v4: bool) -> Packet:
        return (IP if is_v4 else IPv6)(src=address(is_v4), dst=address(is_v4))

    def transport() -> Packet:
        if kind == "tcp":
            return TCP(sport=chance.randrange(1, 1024), dport=80, options=draw(OPTIONS)) / Raw(payload)
        if kind == "udp":
            return UDP(sport=1, dport=2) / Raw(payload)
        if kind == "sctp":
            return SCTP(sport=1, dport=2) / SCTPChunkData(data=payload)
        return KINDS[kind](id=7) / Raw(payload)

    def tags(made: Packet) -> Packet:
        for _ in range(draw(st.integers(0, 2))):
            made /= draw(st.sampled_from([Dot1Q, Dot1AD]))(vlan=chance.randrange(4096))
        return made

    inner = ip(v4)
    has_options = draw(st.booleans()) and draw(st.booleans())
    if has_options:
        inner = inner / IPv6ExtHdrDestOpt() if not v4 else inner
        if v4:
            inner.options = [bytes.fromhex("94040000")]
    inner /= transport()
    ether = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    outer_v4, outer_l3, outer_l4 = draw(st.booleans()), 0, 0
    if not tunnel:
        head = tags(ether)
    else:
        head = tags(ether)
        outer_l3 = len(head)
        outer_l4 = outer_l3 + (20 if outer_v4 else 40)
        head /= ip(outer_v4)
        if tunnel.startswith("vxlan"):
            head /= UDP(sport=99, dport=4789, **({"chksum": 0} if tunnel == "vxlan-bare" else {})) / VXLAN(vni=5)
        else:
            head /= GRE(key_present=draw(st.integers(0, 1)))
        head = head / tags(ether.copy()) if tunnel != "gre" else head
    l3 = len(bytes(head)) if tunnel != "gre" else len(head)
    l4 = l3 + (20 if v4 else 40) + (0 if not has_options else 4 if v4 else 8)
    raw = bytes(head / inner)
    padding = chance.randbytes(draw(st.sampled_from([0, 0, 6]))) if not tunnel else b""
    return Frame(
        raw + padding, kind, v4, l3, l4, len(raw), tunnel, outer_v4, outer_l3, outer_l4,
        has_options and not v4,
    )  # fmt: skip


OPTIONS = st.sampled_from([[], [], [("Timestamp", (1, 2))], [("NOP", None)] * 4])


class Mbufs:
    """Memory for one packet at a time, in as many mbufs as asked, with noise around and at any address."""

    def __init__(self) -> None:
        self._memory = Region(ROOM)
        self._list = Region(64)
        self._chance = random.Random(1)
        self._memory.write(0, self._chance.randbytes(ROOM))
        self.address = self._list.address
        self.state = Block(Checksums.layout)

    def put(self, raw: bytes, cuts: tuple[int, ...] = (), flags: int = 0, lengths: int = 0, **state: int) -> None:
        """The packet, cut at these places."""
        self.state.set(**{s.name: state.get(s.name, 0) for s in Checksums.layout})
        ends = sorted({min(c, len(raw)) for c in cuts} | {len(raw)})
        self._mbufs: list[int] = []
        at, first = 0, 0
        for end in ends:
            part = raw[first:end]
            data = at + m.SIZE + self._chance.randrange(130)
            self._memory.write(at, bytes(m.SIZE))
            self._memory.write(data, part)
            self._set(at, m.BUF_ADDR, self._memory.address + data - 3, 8)
            self._set(at, m.DATA_OFF, 3, 2)
            self._set(at, m.DATA_LEN, len(part), 2)
            self._set(at, m.NB_SEGS, 1, 2)
            self._mbufs.append(at)
            if len(self._mbufs) > 1:
                self._set(self._mbufs[-2], m.NEXT, self._memory.address + at, 8)
            at, first = (data + len(part) + 63) // 64 * 64 + 64, end
        head = self._mbufs[0]
        self._set(head, m.NB_SEGS, len(ends), 2)
        self._set(head, m.PKT_LEN, len(raw), 4)
        self._set(head, m.OL_FLAGS, flags, 8)
        self._set(head, m.TX_OFFLOAD, lengths, 8)
        self._list.set_i64(0, self._memory.address + head)

    def _set(self, at: int, field: int, value: int, size: int) -> None:
        self._memory.write(at + field, value.to_bytes(size, "little"))

    def _get(self, at: int, field: int, size: int) -> int:
        return int.from_bytes(self._memory.read(at + field, size), "little")

    @property
    def flags(self) -> int:
        return self._get(self._mbufs[0], m.OL_FLAGS, 8)

    @property
    def lengths(self) -> int:
        return self._get(self._mbufs[0], m.TX_OFFLOAD, 8)

    @property
    def raw(self) -> bytes:
        parts = []
        for at in self._mbufs:
            start = self._get(at, m.BUF_ADDR, 8) + self._get(at, m.DATA_OFF, 2) - self._memory.address
            parts.append(self._memory.read(start, self._get(at, m.DATA_LEN, 2)))
        return b"".join(parts)

    def count(self, name: str) -> int:
        return self.state.get(name)


@functools.cache
def kernel(name: str, level: str, *arguments: Any) -> Kernel:
    """A kernel of `offload`, compiled for one level of vector instructions."""
    with mock.patch.dict(os.environ, {"BURSTLINE_SIMD": level}):
        made = Kernel(f"burstline.offload.checksums.{name}_kernel:{name}", Checksums, int, int, *arguments)
        made.load()
    return made


def cuts(largest: int = 400) -> st.SearchStrategy[tuple[int, ...]]:
    """Where a packet is cut into mbufs; mostly nowhere."""
    some = st.lists(st.integers(1, largest), max_size=5).map(tuple)
    return st.one_of(st.just(()), some)
