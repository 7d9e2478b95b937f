"""The interpreted packet as a whole: sizes, time, kind, checksums; any bytes make one."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment
from scapy.layers.l2 import Ether
from scapy.packet import Packet as Scapy
from scapy.packet import Padding, Raw

from burstline.packet.fields import HEADER_METHODS, HEADERS
from burstline.packet.packet import data_of
from burstline.packet.parser import LINK_RAW
from scapy_frames import (
    ARP4,
    ETHER,
    EXTENDED,
    ICMP4,
    ICMP6,
    TCP4,
    TCP_OPTIONS,
    UDP4,
    V4,
    V6,
    checksum,
    packet_of,
)


def test_the_packet_itself_has_its_sizes_time_port_and_kind() -> None:
    packet = packet_of(UDP4 / Padding(b"\0" * 9), captured=52)
    assert (packet.length, packet.captured, packet.port) == (62, 52, 3)
    assert packet.time == 1_700_000_000_123_456_789
    assert (packet.vlan_depth, packet.proto, packet.is_fragment) == (2, 17, False)
    assert packet.payload == b"ab"
    assert repr(packet) == "<packet of 52 of 62 bytes: eth vlan inner_vlan ipv4 udp>"
    assert "src=192.0.2.1" in repr(packet.ipv4)
    assert "dst=02:00:00:00:00:01" in repr(packet.eth)


def test_proto_is_zero_without_ip_and_padding_is_no_payload() -> None:
    assert packet_of(ARP4).proto == 0
    assert packet_of(UDP4 / Padding(b"\0" * 9)).payload == b"abc"
    assert packet_of(Ether(**ETHER) / IP(flags="MF", **V4) / UDP()).is_fragment
    assert packet_of(IP(**V4) / ICMP(), LINK_RAW).icmp
    assert not packet_of(IP(**V4) / ICMP(), LINK_RAW).eth


FIXABLE = {
    "tcp4": TCP4,
    "tcp options": TCP_OPTIONS,
    "udp4 in two vlans": UDP4,
    "icmp": ICMP4,
    "icmpv6": ICMP6,
    "tcp behind extension headers": EXTENDED,
    "udp6": Ether(**ETHER) / IPv6(**V6) / UDP(sport=1, dport=2) / Raw(b"12345"),
    "icmp, padded": ICMP4 / Padding(b"\xff" * 5),
    "tcp4, long and odd": Ether(**ETHER) / IP(**V4) / TCP() / Raw(bytes(range(256)) * 200 + b"\xff"),
}


@pytest.mark.parametrize("name", FIXABLE)
def test_fixed_checksums_are_those_of_scapy(name: str) -> None:
    good = bytes(FIXABLE[name])
    packet = packet_of(good)
    for header in HEADER_METHODS["fix_checksum"]:
        getattr(packet, header).checksum = 0xBEEF
    assert bytes(data_of(packet)) != good
    packet.fix_checksums()
    assert bytes(data_of(packet)) == good


def test_one_headers_checksum_can_be_fixed_alone() -> None:
    packet = packet_of(TCP4)
    packet.ipv4.checksum = packet.tcp.checksum = 1
    packet.tcp.fix_checksum()
    assert (packet.ipv4.checksum, packet.tcp.checksum) == (1, checksum(TCP4, TCP))
    packet.ipv4.fix_checksum()
    assert packet.ipv4.checksum == checksum(TCP4, IP)


def test_a_udp_checksum_of_zero_stays_over_ipv4_and_is_computed_over_ipv6() -> None:
    packet = packet_of(UDP4)
    packet.udp.checksum = 0
    packet.fix_checksums()
    assert packet.udp.checksum == 0
    packet = packet_of(FIXABLE["udp6"])
    right, packet.udp.checksum = packet.udp.checksum, 0
    packet.fix_checksums()
    assert packet.udp.checksum == right


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_ffff() -> None:
    frame = Ether(**ETHER) / IP(**V4) / UDP(sport=7, dport=7)
    missing = checksum(frame / Raw(b"\0\0"), UDP)
    packet = packet_of(frame / Raw(missing.to_bytes(2, "big")))
    packet.udp.checksum = 1
    packet.fix_checksums()
    assert packet.udp.checksum == 0xFFFF


@pytest.mark.parametrize(
    ("frame", "captured"),
    [
        (Ether(**ETHER) / IP(flags="MF", **V4) / TCP(chksum=1) / Raw(b"first fragment"), None),
        (Ether(**ETHER) / IPv6(**V6) / IPv6ExtHdrFragment(m=1) / UDP(chksum=1) / Raw(b"first"), None),
        (Ether(**ETHER) / IP(**V4) / TCP(chksum=1) / Raw(b"cut by the capture"), 60),
        (Ether(**ETHER) / IP(len=0, **V4) / TCP(chksum=1) / Raw(b"to be segmented"), None),
        (Ether(**ETHER) / IPv6(plen=0, **V6) / TCP(chksum=1) / Raw(b"jumbogram"), None),
        (Ether(**ETHER) / IP(**V4) / UDP(chksum=1, len=99) / Raw(b"longer than IP says"), None),
        (Ether(**ETHER) / IP(**V4) / UDP(chksum=1, len=7) / Raw(b"shorter than its header"), None),
    ],
)
def test_a_transport_checksum_that_cannot_be_right_is_left_alone(frame: Scapy, captured: int | None) -> None:
    packet = packet_of(frame, captured=captured)
    assert packet.tcp or packet.udp
    packet.fix_checksums()
    assert packet.tcp.checksum + packet.udp.checksum == 1


@given(st.binary(max_size=120), st.integers(0, 4))
def test_any_bytes_make_a_packet_whose_every_attribute_reads(data: bytes, link: int) -> None:
    packet = packet_of(data, link)
    for header in HEADERS:
        view = getattr(packet, header.name)
        repr(view)
        if header.options:
            assert len(view.options) <= 40
    assert packet.captured == len(data)
    assert len(packet.payload) <= len(data)
    packet.fix_checksums()
    assert len(data_of(packet)) == len(data)


def test_the_interpreted_packet_needs_neither_the_compiler_nor_numpy() -> None:
    code = (
        "import sys, burstline.packet.packet, burstline.ports.capture_reader, burstline.ports.decompress;"
        "print([m for m in ('numba', 'llvmlite', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
