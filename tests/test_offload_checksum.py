"""Checksums by software: what scapy computes is good, what is changed is bad, what is asked for is what DPDK wants."""

from __future__ import annotations

import ctypes
import mmap
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from burstline.native.kernel import Kernel
from burstline.offload import mbuf as m
from burstline.offload.checksums.checksums import ALL_PACKETS, ARRIVED_PARTIAL, hardware_mask
from burstline.offload.mbuf import tx_offload
from burstline.simd import level
from burstline.state.region import Region
from checksum_frames import TUNNELS, Frame, Mbufs, cuts, frames, kernel, pseudo, pseudo_of, sum16

BEST = level.known()[-1]
MBUFS = Mbufs()
PLAIN = Kernel("plain_checksum_kernel:is_plain", int)
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}  # else scapy asks the network
EVERYTHING = hardware_mask(
    ["IPV4_CKSUM", "TCP_CKSUM", "UDP_CKSUM", "SCTP_CKSUM", "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM"]
)
OUTER_L4 = m.RX_OUTER_L4_CKSUM_BAD | m.RX_OUTER_L4_CKSUM_GOOD


def verify(raw: bytes, where: tuple[int, ...] = (), simd: str = BEST, flags: int = 0, **state: int) -> tuple[int, int]:
    """How many are bad, and the flags."""
    MBUFS.put(raw, where, flags, **state)
    return kernel("verify", simd)(MBUFS.state.address, MBUFS.address, 1), MBUFS.flags


def request(raw: bytes, which: int, where: tuple[int, ...] = (), flags: int = 0, lengths: int = 0) -> int:
    MBUFS.put(raw, where, flags, lengths)
    return kernel("request", BEST, int)(MBUFS.state.address, MBUFS.address, 1, which)


def fill(hardware: int = 0) -> int:
    MBUFS.state.set(hardware=hardware)
    return kernel("fill", BEST)(MBUFS.state.address, MBUFS.address, 1)


def all_good(frame: Frame) -> int:
    found = m.RX_L4_CKSUM_GOOD | (m.RX_IP_CKSUM_GOOD if frame.v4 else 0)
    return found | (m.RX_OUTER_L4_CKSUM_GOOD if frame.tunnel == "vxlan" else 0)


def unfilled(frame: Frame) -> bytes:
    """The frame with noise where its checksums are, but for outer ones of UDP, which say whether there is one."""
    raw = bytearray(frame.raw)
    raw[frame.field : frame.field + frame.field_size] = b"\xa5\x5a\x12\x34"[: frame.field_size]
    for v4, l3 in ((frame.v4, frame.l3), (frame.outer_v4, frame.outer_l3)):
        if v4 and l3:
            raw[l3 + 10 : l3 + 12] = b"\x77\x66"
    if frame.tunnel == "vxlan":
        raw[frame.outer_l4 + 6 : frame.outer_l4 + 8] = b"\x55\x44"
    return bytes(raw)


@pytest.mark.parametrize("simd", level.known())
@settings(max_examples=120, deadline=None)
@given(frame=frames(), where=cuts())
def test_what_scapy_computes_is_good(simd: str, frame: Frame, where: tuple[int, ...]) -> None:
    bad, flags = verify(frame.raw, where, simd)
    assert (bad, flags) == (0, all_good(frame))
    assert (MBUFS.count("good"), MBUFS.count("bad"), MBUFS.count("none")) == (1, 0, 0)
    assert MBUFS.raw == frame.raw


@pytest.mark.parametrize("simd", level.known())
@settings(max_examples=15, deadline=None)
@given(frame=frames(largest=3000), where=cuts(3000))
def test_large_packets_too(simd: str, frame: Frame, where: tuple[int, ...]) -> None:
    assert verify(frame.raw, where, simd) == (0, all_good(frame))


@settings(max_examples=40, deadline=None)
@given(frames(largest=80), cuts(), st.randoms())
def test_every_bit_that_is_covered_counts(frame: Frame, where: tuple[int, ...], chance: random.Random) -> None:
    bits = [8 * at + k for at in range(frame.l4, frame.end) for k in range(8)]
    # Lengths and what tells what the packet is make another packet of it.
    telling = {"tcp": range(12, 13), "udp": range(2, 6)}.get(frame.kind, range(0))
    for bit in chance.sample(bits, min(60, len(bits))):
        at = bit // 8
        if at - frame.l4 in telling or (frame.kind == "udp" and at // 2 == frame.field // 2):
            continue
        changed = frame.but(at, bytes([frame.raw[at] ^ 1 << bit % 8]))
        bad, flags = verify(changed, where)
        assert bad == 1 and flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD, at - frame.l4
        assert flags & m.RX_IP_CKSUM_NONE == (m.RX_IP_CKSUM_GOOD if frame.v4 else 0)
        if frame.tunnel == "vxlan":
            assert flags & OUTER_L4 == m.RX_OUTER_L4_CKSUM_BAD
    for at in range(frame.l3 + 12, frame.l3 + 20) if frame.v4 else range(frame.l3 + 8, frame.l3 + 40):
        changed = frame.but(at, bytes([frame.raw[at] ^ 1 << chance.randrange(8)]))  # addresses are in both sums
        _, flags = verify(changed, where)
        if frame.v4:
            assert flags & m.RX_IP_CKSUM_NONE == m.RX_IP_CKSUM_BAD
        if frame.kind in ("tcp", "udp", "icmp6"):
            assert flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD


def ending(frame: Frame, end: int) -> bytes:
    """The frame, of which IP says that it ends there; the checksum of its header is right."""
    if not frame.v4:
        return frame.but(frame.l3 + 4, (end - frame.l3 - 40).to_bytes(2, "big"))
    raw = frame.but(
        frame.l3 + 2, (end - frame.l3).to_bytes(2, "big") + frame.raw[frame.l3 + 4 : frame.l3 + 10] + bytes(2)
    )
    total = sum16(raw[frame.l3 : frame.l3 + (raw[frame.l3] & 15) * 4]) ^ 0xFFFF
    return raw[: frame.l3 + 10] + total.to_bytes(2, "big") + raw[frame.l3 + 12 :]


@settings(max_examples=100, deadline=None)
@given(frames(), cuts(), st.data())
def test_nothing_is_said_of_a_transport_header_that_ends_behind_its_packet(
    frame: Frame, where: tuple[int, ...], data: st.DataObject
) -> None:
    header = {"tcp": 20, "sctp": 12, "icmp6": 4}.get(frame.kind, 8)
    raw = ending(frame, frame.l4 + data.draw(st.integers(0, header - 1)))
    _, flags = verify(raw, where)
    assert flags & m.RX_L4_CKSUM_NONE == 0
    assert flags & m.RX_IP_CKSUM_NONE == (m.RX_IP_CKSUM_GOOD if frame.v4 else 0)
    if frame.tunnel != "vxlan":  # whose outer checksum is another now
        request(raw, ALL_PACKETS, where)
        fill()
        assert MBUFS.raw == raw


@settings(max_examples=60, deadline=None)
@given(frames(tunnels=TUNNELS[2:]), cuts(), st.integers(0, 7))
def test_a_wrong_outer_header_is_told_apart(frame: Frame, where: tuple[int, ...], bit: int) -> None:
    ttl = frame.outer_l3 + (8 if frame.outer_v4 else 7)
    bad, flags = verify(frame.but(ttl, bytes([frame.raw[ttl] ^ 1 << bit])), where)
    if frame.outer_v4:
        assert bad == 1 and flags == all_good(frame) | m.RX_OUTER_IP_CKSUM_BAD
    else:
        assert bad == 0 and flags == all_good(frame)


@pytest.mark.parametrize("tunnels", [TUNNELS, ("vxlan",)], ids=["any", "vxlan"])
@settings(max_examples=60, deadline=None)
@given(st.data(), cuts())
def test_partial_checksums_are_not_wrong_where_they_are_expected(
    tunnels: tuple[str, ...], data: st.DataObject, where: tuple[int, ...]
) -> None:
    frame = data.draw(frames(("tcp", "udp", "sctp"), tunnels=tunnels))
    raw = frame.but(frame.field, bytes(4) if frame.kind == "sctp" else pseudo_of(frame))
    if raw == frame.raw:
        return
    bad, flags = verify(raw, where)
    assert bad == 1 and flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD
    bad, flags = verify(raw, where, partial=1)
    assert flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_NONE
    if frame.kind != "sctp" or frame.tunnel != "vxlan":  # Linux makes no outer checksum beside one of SCTP to be filled
        assert (bad, MBUFS.count("partials")) == (0, 1)
        # The outer checksum is the one that will be right when the inner one is filled in.
        assert flags == all_good(frame) & ~m.RX_L4_CKSUM_NONE | m.RX_L4_CKSUM_NONE


@settings(max_examples=60, deadline=None)
@given(frames(tunnels=("vxlan",)), cuts())
def test_a_partial_outer_checksum_is_made_whole(frame: Frame, where: tuple[int, ...]) -> None:
    size = frame.end - frame.outer_l4
    raw = frame.but(frame.outer_l4 + 6, pseudo(frame.raw, frame.outer_v4, frame.outer_l3, 17, size))
    assert verify(raw, where, partial=1) == (0, all_good(frame))
    assert MBUFS.raw == frame.raw
    # One that was marked partial by a driver is filled on request, the inner one left alone.
    request(raw, ARRIVED_PARTIAL, where, flags=m.RX_L4_CKSUM_NONE)
    assert MBUFS.raw == frame.raw


@settings(max_examples=60, deadline=None)
@given(frames(), cuts(), st.data())
def test_what_a_driver_said_stands(frame: Frame, where: tuple[int, ...], data: st.DataObject) -> None:
    raw = frame.but(frame.field, bytes([frame.raw[frame.field] ^ 1]))
    l4 = data.draw(st.sampled_from([m.RX_L4_CKSUM_GOOD, m.RX_L4_CKSUM_BAD, m.RX_L4_CKSUM_NONE]))
    bad, flags = verify(raw, where, flags=l4 | m.RX_RSS_HASH)
    assert flags & m.RX_L4_CKSUM_NONE == l4 and flags & m.RX_RSS_HASH
    assert flags & m.RX_IP_CKSUM_NONE == (m.RX_IP_CKSUM_GOOD if frame.v4 else 0)
    if frame.tunnel != "vxlan":
        assert bad == (l4 == m.RX_L4_CKSUM_BAD)
    ip = data.draw(st.sampled_from([m.RX_IP_CKSUM_BAD, m.RX_IP_CKSUM_GOOD]))
    bad, flags = verify(raw, where, flags=ip)
    assert bad == 1 and flags & m.RX_IP_CKSUM_NONE == ip and flags & m.RX_L4_CKSUM_NONE == m.RX_L4_CKSUM_BAD
    assert verify(raw, where, flags=m.RX_LRO) == (0, m.RX_LRO)


def test_where_there_is_no_checksum_there_is_no_flag() -> None:
    ether, v4, v6 = Ether(**MACS), IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="::1", dst="::2")
    data, good = Raw(bytes(range(50))), m.RX_IP_CKSUM_GOOD
    cases: list[tuple[bytes, int]] = [
        (bytes(ether / v4 / UDP(chksum=0) / data), good),
        (bytes(ether / IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP(chksum=5) / data), good),
        (bytes(ether / IP(src="10.0.0.1", dst="10.0.0.2", proto=89) / data), good),
        (bytes(ether / v4 / TCP() / data)[:-1], good),  # cut
        *((bytes(ether / v4 / TCP(dataofs=words) / data), good) for words in range(5)),  # no header is that short
        (bytes(ether / v6 / IPv6ExtHdrRouting(addresses=["::3"], segleft=1) / UDP(chksum=5) / data), 0),
        (bytes(ether / v6 / UDP(chksum=5, len=7) / data), 0),
        (bytes(ether / v6 / UDP(chksum=5, len=99) / data), 0),
        (bytes(Ether(**MACS, type=0x88B5) / data), 0),
        (bytes(ether / v4)[:30], 0),
        (b"", 0),
    ]
    for raw, expected in cases:
        assert verify(raw) == (0, expected), raw
        assert MBUFS.count("good" if expected else "none") == 1
    assert verify(bytes(ether / v6 / UDP(chksum=0) / data)) == (1, m.RX_L4_CKSUM_BAD)
    last = bytes(ether / v6 / IPv6ExtHdrRouting(addresses=["::2"], segleft=0) / UDP() / data)
    assert verify(last) == (0, m.RX_L4_CKSUM_GOOD)


@settings(max_examples=200, deadline=None)
@given(frames(), cuts())
def test_request_then_fill_gives_scapys_bytes(frame: Frame, where: tuple[int, ...]) -> None:
    asked = request(unfilled(frame), ALL_PACKETS, where)
    assert fill() + MBUFS.count("filled") >= 1
    assert MBUFS.raw == frame.raw
    assert MBUFS.flags & (m.TX_IP_CKSUM | m.TX_L4_MASK | m.TX_OUTER_IP_CKSUM | m.TX_OUTER_UDP_CKSUM) == 0
    assert verify(MBUFS.raw, where) == (0, all_good(frame))
    if where or frame.special or frame.kind in ("icmp", "icmp6"):
        return
    assert asked == (frame.end == len(frame.raw))


@settings(max_examples=60, deadline=None)
@given(frames(("tcp", "udp", "sctp"), largest=3000), cuts(3000))
def test_fill_goes_by_what_the_mbuf_says(frame: Frame, where: tuple[int, ...]) -> None:
    """Not by the packet, and over any mbufs; without a pseudo header's sum."""
    MBUFS.put(unfilled(frame), where, *asked_of(frame))
    assert fill() == 1
    assert MBUFS.raw == frame.raw


def asked_of(frame: Frame) -> tuple[int, int]:
    """The flags and lengths that rte_mbuf_core.h wants for all checksums of a frame."""
    flags = {"tcp": m.TX_TCP_CKSUM, "udp": m.TX_UDP_CKSUM, "sctp": m.TX_SCTP_CKSUM}[frame.kind]
    flags |= m.TX_IPV4 | m.TX_IP_CKSUM if frame.v4 else m.TX_IPV6
    header = (frame.raw[frame.l4 + 12] >> 4) * 4 if frame.kind == "tcp" else 8 if frame.kind == "udp" else 12
    if not frame.tunnel:
        return flags, tx_offload(frame.l3, frame.l4 - frame.l3, header)
    flags |= m.TX_OUTER_IPV4 | m.TX_OUTER_IP_CKSUM if frame.outer_v4 else m.TX_OUTER_IPV6
    flags |= m.TX_TUNNEL_GRE if frame.tunnel.startswith("gre") else m.TX_TUNNEL_VXLAN
    flags |= m.TX_OUTER_UDP_CKSUM if frame.tunnel == "vxlan" else 0
    lengths = (frame.l3 - frame.outer_l4, frame.l4 - frame.l3, header, 0, frame.outer_l4 - frame.outer_l3)
    return flags, tx_offload(*lengths, frame.outer_l3)


@settings(max_examples=100, deadline=None)
@given(frames(("tcp", "udp", "sctp")))
def test_what_the_port_does_is_asked_for_as_dpdk_wants_it(frame: Frame) -> None:
    if frame.special or frame.end != len(frame.raw):
        return
    assert request(unfilled(frame), ALL_PACKETS) == 1
    expected = bytearray(frame.raw)
    for v4, l3 in ((frame.v4, frame.l3), (frame.outer_v4, frame.outer_l3)):
        if v4 and l3:
            expected[l3 + 10 : l3 + 12] = bytes(2)
    written = bytes(4) if frame.kind == "sctp" else pseudo_of(frame)
    expected[frame.field : frame.field + len(written)] = written
    if frame.tunnel == "vxlan":
        size = frame.end - frame.outer_l4
        at = frame.outer_l4 + 6
        expected[at : at + 2] = pseudo(frame.raw, frame.outer_v4, frame.outer_l3, 17, size)
    assert (MBUFS.flags, MBUFS.lengths) == asked_of(frame)
    assert MBUFS.raw == expected
    flags = MBUFS.flags
    assert fill(hardware=EVERYTHING) == 0
    assert (MBUFS.flags, MBUFS.raw) == (flags, expected)


@settings(max_examples=60, deadline=None)
@given(frames(("tcp", "udp", "sctp")), cuts())
def test_a_port_that_sums_each_buffer_by_itself_gets_packets_in_one(frame: Frame, where: tuple[int, ...]) -> None:
    MBUFS.put(unfilled(frame), where, *asked_of(frame), one_mbuf=1)
    in_one = not any(0 < cut < len(frame.raw) for cut in where) and 0 not in where
    assert fill(hardware=EVERYTHING) == (not in_one)
    if not in_one:
        assert MBUFS.raw == frame.raw


@settings(max_examples=60, deadline=None)
@given(frames(("udp",)), cuts(), st.integers(1, 40))
def test_datagrams_that_end_before_their_packet_are_filled_at_once(
    frame: Frame, where: tuple[int, ...], more: int
) -> None:
    """rte_ipv4_phdr_cksum and rte_ipv6_phdr_cksum take IP's length for UDP's (rte_ip.h)."""
    if frame.tunnel == "vxlan":  # whose outer checksum and length would be others
        return
    whole = frame.raw[: frame.end] + bytes(more)
    raw = ending(replace(frame, raw=whole), len(whole))
    request(raw[: frame.field] + b"\x12\x34" + raw[frame.field + 2 :], ALL_PACKETS, where)
    assert MBUFS.flags & m.TX_L4_MASK == 0
    fill()
    assert MBUFS.raw == raw


def test_a_partial_packet_with_a_routing_header_keeps_the_pseudo_header_of_its_sender() -> None:
    """Which has the final destination (RFC 8200 section 8.1); scapy knows it, too."""
    ip = IPv6(src="2001:db8::1", dst="2001:db8::2") / IPv6ExtHdrRouting(addresses=["2001:db8::3"], segleft=1)
    for transport, proto, field in ((TCP(), 6, 16), (UDP(), 17, 6)):
        whole = bytes(Ether(**MACS) / ip / transport / Raw(b"payload"))
        l4 = 14 + 40 + 24
        final, size = whole[l4 - 16 : l4], len(whole) - l4
        assert final.endswith(b"\x03")
        total = sum16(whole[22:38] + final + size.to_bytes(4, "big") + proto.to_bytes(4, "big"))
        raw = whole[: l4 + field] + total.to_bytes(2, "big") + whole[l4 + field + 2 :]
        request(raw, ARRIVED_PARTIAL, flags=m.RX_L4_CKSUM_NONE)
        fill()
        assert MBUFS.raw == whole


@settings(max_examples=100, deadline=None)
@given(
    frames(("tcp", "udp", "sctp")),
    st.sets(
        st.sampled_from(["IPV4_CKSUM", "TCP_CKSUM", "UDP_CKSUM", "SCTP_CKSUM", "OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM"])
    ),
)
def test_each_flag_is_done_by_the_port_or_by_us(frame: Frame, offloads: set[str]) -> None:
    MBUFS.put(unfilled(frame), (), *asked_of(frame))
    before = MBUFS.flags
    fill(hardware=hardware_mask(offloads))
    left = MBUFS.flags
    kind = {"tcp": "TCP_CKSUM", "udp": "UDP_CKSUM", "sctp": "SCTP_CKSUM"}[frame.kind]
    knows = not frame.tunnel or bool({"OUTER_IPV4_CKSUM", "OUTER_UDP_CKSUM"} & offloads)
    within = knows and (frame.tunnel != "vxlan" or "OUTER_UDP_CKSUM" in offloads)
    assert left & m.TX_L4_MASK == (before & m.TX_L4_MASK if within and kind in offloads else 0)
    assert bool(left & m.TX_IP_CKSUM) == (frame.v4 and within and "IPV4_CKSUM" in offloads)
    assert bool(left & m.TX_OUTER_IP_CKSUM) == (
        bool(frame.tunnel) and frame.outer_v4 and "OUTER_IPV4_CKSUM" in offloads
    )
    assert bool(left & m.TX_OUTER_UDP_CKSUM) == (frame.tunnel == "vxlan" and "OUTER_UDP_CKSUM" in offloads)
    raw = MBUFS.raw
    if not left & m.TX_L4_MASK:
        assert raw[frame.field : frame.field + frame.field_size] == frame.checksum
    if frame.v4 and not left & m.TX_IP_CKSUM:
        assert sum16(raw[frame.l3 : frame.l3 + (raw[frame.l3] & 15) * 4]) == 0xFFFF
    if frame.tunnel == "vxlan" and not left & m.TX_OUTER_UDP_CKSUM:
        assert raw == frame.raw or left & m.TX_OUTER_IP_CKSUM


@settings(max_examples=60, deadline=None)
@given(frames(("tcp", "udp", "sctp")), cuts())
def test_only_partial_packets_are_filled_where_only_they_are_asked_for(frame: Frame, where: tuple[int, ...]) -> None:
    assert request(unfilled(frame), ARRIVED_PARTIAL, where, flags=m.RX_L4_CKSUM_GOOD) == 0
    assert (MBUFS.raw, MBUFS.flags) == (unfilled(frame), m.RX_L4_CKSUM_GOOD)
    raw = frame.but(frame.field, bytes(4) if frame.kind == "sctp" else pseudo_of(frame))
    request(raw, ARRIVED_PARTIAL, where, flags=m.RX_L4_CKSUM_NONE)
    assert MBUFS.flags & (m.TX_IP_CKSUM | m.TX_OUTER_IP_CKSUM | m.TX_OUTER_UDP_CKSUM) == 0
    fill()
    assert MBUFS.raw == frame.raw


@settings(max_examples=60, deadline=None)
@given(frames(("tcp", "udp")), cuts(), st.sampled_from([m.RX_L4_CKSUM_NONE, m.RX_L4_CKSUM_GOOD]))
def test_what_was_merged_is_to_be_segmented(frame: Frame, where: tuple[int, ...], l4: int) -> None:
    flags = m.RX_LRO | l4
    header = (frame.raw[frame.l4 + 12] >> 4) * 4 if frame.kind == "tcp" else 8
    segsz = 20
    if len(frame.raw) <= frame.l4 + header + segsz:
        return
    assert request(unfilled(frame), ARRIVED_PARTIAL, where, flags, segsz << m.SEGSZ_SHIFT) == 1
    wanted, lengths = asked_of(frame)
    if frame.kind == "tcp":
        wanted = wanted & ~m.TX_L4_MASK | m.TX_TCP_SEG
        assert MBUFS.raw[frame.field :][:2] == pseudo_of(frame, 0)
    else:
        wanted |= m.TX_UDP_SEG
        assert MBUFS.raw[frame.field :][:2] == pseudo_of(frame)
    assert (MBUFS.flags, MBUFS.lengths) == (wanted | flags, lengths | segsz << m.SEGSZ_SHIFT)
    before = MBUFS.raw
    assert fill() == 0  # segments are filled, not this
    assert MBUFS.raw == before
    assert request(MBUFS.raw, ALL_PACKETS, where, MBUFS.flags, MBUFS.lengths) == 0


def test_udp_without_a_checksum_stays_so_and_one_of_zero_is_sent_as_ones() -> None:
    bare = bytes(Ether(**MACS) / IP(src="1.2.3.4", dst="5.6.7.8") / UDP(chksum=0) / Raw(b"abc"))
    request(bare, ALL_PACKETS)
    fill()
    assert MBUFS.raw == bare
    frame = Ether(**MACS) / IP(src="1.2.3.4", dst="5.6.7.8") / UDP(chksum=7) / Raw(b"\0\0")
    raw = bytearray(bytes(frame))
    rest = sum16(raw[26:34] + bytes([0, 17, 0, 10]) + raw[34:40])
    raw[42:44] = (0xFFFF - rest).to_bytes(2, "big")
    request(bytes(raw), ALL_PACKETS)
    fill()
    assert MBUFS.raw[40:42] == b"\xff\xff"
    assert verify(MBUFS.raw)[0] == 0


@pytest.mark.parametrize("simd", level.known())
def test_nothing_outside_of_a_packet_is_read_or_written(simd: str) -> None:
    """The packet ends, and begins, where memory does."""
    page = mmap.PAGESIZE
    memory = mmap.mmap(-1, 4 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory)) + page
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    assert protect(start - page, page, 0) == protect(start + 2 * page, page, 0) == 0
    chance = random.Random(3)
    ip = [IP(src="10.0.0.1", dst="10.0.0.2"), IPv6(src="::1", dst="::2")]
    for size in (*range(0, 200, 7), 1000, 4000):
        frame = bytes(Ether(**MACS) / ip[size % 2] / chance.choice([TCP, UDP])() / Raw(chance.randbytes(size)))
        for at in (page, 3 * page - len(frame)):
            memory[at : at + len(frame)] = frame
            MBUFS.put(frame)
            MBUFS._set(0, m.BUF_ADDR, start - page + at - 3, 8)
            assert kernel("verify", simd)(MBUFS.state.address, MBUFS.address, 1) == 0
            assert MBUFS.flags & m.RX_L4_CKSUM_GOOD
            MBUFS._set(0, m.OL_FLAGS, 0, 8)
            kernel("request", BEST, int)(MBUFS.state.address, MBUFS.address, 1, ALL_PACKETS)
            fill()
            assert memory[at : at + len(frame)] == frame


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([[], [("Timestamp", (1, 2))]]))
def test_plain_packets_go_the_short_way_and_only_these(payload: bytes, options: list[Any]) -> None:
    ether, ip = Ether(**MACS), IP(src="10.0.0.1", dst="10.0.0.2")
    raw = bytes(ether / ip / TCP(options=options) / Raw(payload))

    def is_plain(frame: bytes) -> int:
        MBUFS.put(frame)
        return PLAIN(MBUFS.address)

    assert is_plain(raw) and is_plain(raw + b"padding")
    assert not is_plain(raw[:-1])
    for bit in range(8 * 12, 8 * len(raw)):  # MACs are in no sum
        assert not is_plain(raw[: bit // 8] + bytes([raw[bit // 8] ^ 1 << bit % 8]) + raw[bit // 8 + 1 :])


@settings(max_examples=60, deadline=None)
@given(frames(("tcp", "udp")), cuts(), st.sampled_from([0x2000, 1, 0xFF, 0x1F00]))
def test_the_header_has_a_checksum_of_its_own(frame: Frame, where: tuple[int, ...], fragment: int) -> None:
    if not frame.v4 or frame.tunnel:
        return
    for at in (frame.l3 + 1, frame.l3 + 4, frame.l3 + 8, frame.l3 + 10):  # TOS, ID, TTL, the checksum
        bad, flags = verify(frame.but(at, bytes([frame.raw[at] ^ 0x10])), where)
        assert (bad, flags) == (1, m.RX_IP_CKSUM_BAD | m.RX_L4_CKSUM_GOOD)
    raw = frame.but(frame.l3 + 6, fragment.to_bytes(2, "big"))
    header = raw[frame.l3 : frame.l3 + 10] + bytes(2) + raw[frame.l3 + 12 : frame.l4]
    raw = raw[: frame.l3 + 10] + (sum16(header) ^ 0xFFFF).to_bytes(2, "big") + raw[frame.l3 + 12 :]
    assert verify(raw, where) == (0, m.RX_IP_CKSUM_GOOD)  # though what would be the transport's checksum is right


def test_counts_over_a_burst() -> None:
    good = bytes(Ether(**MACS) / IP(src="10.0.0.1", dst="10.0.0.2") / TCP() / Raw(bytes(30)))
    wrong = good[:-1] + b"\1"
    partial = good[:50] + pseudo(good, True, 14, 6, len(good) - 34) + good[52:]
    other = bytes(Ether(**MACS, type=0x88B5) / Raw(bytes(50)))
    packets: list[Any] = [good] * 20 + [wrong] * 3 + [partial] * 5 + [other] * 4 + [good] * 9
    random.Random(1).shuffle(packets)
    held = []
    for raw in packets:
        held.append(Mbufs())
        held[-1].put(raw)
    addresses = Region(8 * len(held))
    for k, each in enumerate(held):
        addresses.set_i64(8 * k, each._list.i64(0))
    state = held[0].state
    state.set(partial=1)
    assert kernel("verify", BEST)(state.address, addresses.address, len(held)) == 3
    names = ("good", "bad", "partials", "none")
    assert [state.get(name) for name in names] == [29, 3, 5, 4]
    assert kernel("verify", BEST)(state.address, addresses.address, len(held)) == 3  # flags are left as they are
    assert [state.get(name) for name in names] == [58, 6, 10, 8]
    assert kernel("verify", BEST)(state.address, addresses.address, 0) == 0
