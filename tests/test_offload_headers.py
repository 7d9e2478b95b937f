"""The headers that offloads go by are where scapy says they are; nothing is read outside the frame."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import GRE, Dot1AD, Dot1Q, Ether
from scapy.layers.sctp import SCTP
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from burstline.native.kernel import Kernel
from burstline.offload import headers as h
from burstline.state.region import Region

headers = Kernel("offload_headers_kernel:headers", int, int, int)

TRANSPORT = [
    (TCP, h.TCP), (UDP, h.UDP), (SCTP, h.SCTP), (ICMP, h.ICMP), (ICMPv6EchoRequest, h.ICMPV6),
]  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> Packet:
    def packet(tags: bool) -> Packet:
        made: Packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        for _ in range(draw(st.integers(0, 2)) if tags else 0):
            made /= draw(st.sampled_from([Dot1Q, Dot1AD]))(vlan=draw(st.integers(0, 4095)))
        return made / ip()

    def ip() -> Packet:
        if draw(st.booleans()):
            options = draw(st.sampled_from([b"", b"\x01\x01\x01\x00", b"\x94\x04\x00\x00"]))
            kind = draw(st.sampled_from([TCP, UDP, SCTP, ICMP]))
            made = IP(options=options, frag=draw(st.sampled_from([0, 0, 0, 7]))) if options else IP()
        else:
            kind = draw(st.sampled_from([TCP, UDP, SCTP, ICMPv6EchoRequest]))
            made = IPv6()
            for extension in draw(st.lists(st.sampled_from([IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt]), max_size=2)):
                made /= extension()
        if kind is TCP:
            return made / TCP(options=draw(st.sampled_from([[], [("Timestamp", (1, 2))], [("NOP", None)] * 4])))
        return made / (UDP(sport=1, dport=2) if kind is UDP else kind())

    made = packet(tags=True)
    tunnel = draw(st.sampled_from(["", "", "vxlan", "gre", "gre-ether"]))
    if tunnel == "vxlan":
        outer = Ether() / draw(st.sampled_from([IP, IPv6]))() / UDP(sport=draw(st.integers(1, 65535)), dport=4789)
        made = outer / VXLAN(vni=draw(st.integers(0, 2**24 - 1))) / made
    elif tunnel:
        flags = {"chksum_present": draw(st.integers(0, 1)), "key_present": draw(st.integers(0, 1))}
        outer = Ether() / draw(st.sampled_from([IP, IPv6]))() / GRE(**flags)
        made = outer / (made if tunnel == "gre-ether" else ip())
    return made / Raw(bytes(draw(st.integers(0, 64))))


def places(frame: Packet) -> tuple[int, int, int, int]:
    """Shape and places of the innermost IP and what follows, by scapy."""
    raw, at, shape, l3, l4 = bytes(frame), 0, 0, 0, 0
    layer = frame.__class__(raw)
    while layer and not isinstance(layer, Raw):
        if isinstance(layer, VXLAN):
            shape = (h.OUTER_V4 if shape & h.V4 else h.OUTER_V6) | h.VXLAN
        elif isinstance(layer, GRE):
            shape = (h.OUTER_V4 if shape & h.V4 else h.OUTER_V6) | h.GRE
        elif isinstance(layer, IP):
            shape |= h.V4 | (h.OPTIONS if layer.ihl > 5 else 0) | (h.FRAGMENT if layer.frag else 0)
            l3, l4 = at, at + layer.ihl * 4
        elif isinstance(layer, IPv6):
            shape, l3, l4 = shape | h.V6, at, at + 40
        elif isinstance(layer, (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt)):
            shape, l4 = shape | h.OPTIONS, at + len(layer) - len(layer.payload)
        else:
            for kind, bit in TRANSPORT:
                shape |= bit if isinstance(layer, kind) else 0
        at += len(layer) - len(layer.payload)
        layer = layer.payload
    return shape, l3, l4, at


def compiled(raw: bytes) -> tuple[int, ...]:
    data, found = Region(len(raw)), Region(48)
    data.write(0, raw)
    headers(data.address, len(raw), found.address)
    return tuple(found.i64(8 * k) for k in range(6))


@settings(max_examples=300, deadline=None)
@given(frames())
def test_headers_are_where_scapy_has_them(frame: Packet) -> None:
    raw = bytes(frame)
    shape, _, _, l3, l4, _ = found = h.find_headers(raw, len(raw))
    assert compiled(raw) == found
    meant, meant_l3, meant_l4, _ = places(frame)
    if meant & h.FRAGMENT:
        meant &= ~h.L4
    assert (shape & ~h.VLAN, l3) == (meant, meant_l3)
    assert l4 == meant_l4


@settings(max_examples=300, deadline=None)
@given(frames(), st.data())
def test_a_frame_that_ends_early_is_read_up_to_its_end_only(frame: Packet, data: st.DataObject) -> None:
    raw = bytes(frame)[: data.draw(st.integers(0, 120))]
    shape, outer_l3, outer_l4, l3, l4, payload = h.find_headers(raw, len(raw))  # bytes raise where it looks behind them
    assert payload <= len(raw) or shape & h.OPTIONS
    assert outer_l3 <= outer_l4 <= l3 or not shape & h.TUNNEL
    assert l3 <= l4 <= payload


def test_noise_is_never_read_behind_its_end() -> None:
    chance = random.Random(5)
    for _ in range(20_000):
        raw = bytearray(chance.randbytes(chance.randrange(100)))
        if len(raw) > 14:
            raw[12:14] = chance.choice([b"\x08\x00", b"\x86\xdd", b"\x81\x00"])
        if len(raw) > 24:
            raw[14] = chance.choice([0x45, 0x46, 0x4F, 0x60])
            raw[23] = chance.choice([6, 17, 47, 132, 1])
        assert compiled(bytes(raw)) == h.find_headers(raw, len(raw))


def test_a_fragment_has_no_transport_header() -> None:
    for ip in (IP(flags="MF"), IP(frag=3), IPv6() / IPv6ExtHdrFragment(nh=17)):
        raw = bytes(Ether() / ip / UDP() / Raw(bytes(20)))
        shape, *_, l4, payload = h.find_headers(raw, len(raw))
        assert shape & h.FRAGMENT and not shape & h.L4 and l4 == payload


def test_this_dpdk_has_the_mbuf_that_the_code_is_made_for() -> None:
    dpdk = pytest.importorskip("burstline.dpdk.binding", reason="built without DPDK")
    from burstline.errors import BurstlineError
    from burstline.offload import mbuf

    mbuf.check(dpdk.native.MBUF, dpdk.native.MBUF_FLAGS)
    for name in (*dpdk.native.MBUF, *dpdk.native.MBUF_FLAGS):
        assert hasattr(mbuf, name.upper()), f"{name} is not written down"
    with pytest.raises(BurstlineError, match=r"another rte_mbuf: NEXT is 48, not 64"):
        mbuf.check({"next": 48}, {})
