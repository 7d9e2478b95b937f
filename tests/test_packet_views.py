"""The interpreted packet: every field reads and writes as in packets that scapy builds, and nothing else is touched."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest
from scapy.packet import Packet as Scapy
from scapy.packet import Padding

from burstline.packet.address import ip, mac
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import HEADER, HEADER_METHODS, HEADERS, Field, Header
from burstline.packet.packet import Packet, columns_of, data_of
from scapy_frames import (
    ARP4,
    ETHER,
    EXTENDED,
    GROUP,
    ICMP4,
    ICMP6,
    IN_GENEVE,
    IN_GRE,
    IN_GTPU,
    IN_VXLAN,
    LABELLED,
    OPTIONS4,
    OPTIONS_TCP,
    PROTECTED,
    SESSION,
    SNAPPED,
    STREAMS,
    TCP4,
    TCP_OPTIONS,
    UDP4,
    V4,
    V6,
    checksum,
    packet_of,
)


def flags(value: int) -> dict[str, bool]:
    names = ("fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr")
    return {f"flag_{name}": bool(value >> bit & 1) for bit, name in enumerate(names)}


def tag(pcp: int, dei: int, vlan: int, kind: int) -> dict[str, int]:
    return {"tci": pcp << 13 | dei << 12 | vlan, "pcp": pcp, "dei": bool(dei), "id": vlan, "type": kind}


def echo(kind: int, code: int, check: int) -> dict[str, int]:
    return {"type": kind, "code": code, "checksum": check, "id": 0xABCD, "seq": 0x0102, "rest": 0xABCD0102}


EXPECTED: list[tuple[Scapy, str, dict[str, Any]]] = [
    (TCP4, "eth", {"dst": mac(ETHER["dst"]), "src": mac(ETHER["src"]), "type": 0x0800}),
    (UDP4, "vlan", tag(5, 1, 0x123, 0x8100)),
    (UDP4, "inner_vlan", tag(2, 0, 0xFED, 0x0800)),
    (
        ARP4,
        "arp",
        {"htype": 1, "ptype": 0x0800, "hlen": 6, "plen": 4, "op": 2}
        | {"sha": mac("06:11:22:33:44:55"), "spa": IPv4Address("192.0.2.9")}
        | {"tha": mac("02:aa:bb:cc:dd:ee"), "tpa": IPv4Address("192.0.2.250")},
    ),
    (
        TCP4,
        "ipv4",
        {"version": 4, "ihl": 6, "tos": 0xB9, "dscp": 46, "ecn": 1, "length": 56, "id": 0x1234, "df": True, "mf": False}
        | {"frag_offset": 0, "ttl": 63, "proto": 6, "checksum": checksum(TCP4, IP)}
        | {"src": IPv4Address(V4["src"]), "dst": IPv4Address(V4["dst"])},
    ),
    (
        ICMP6,
        "ipv6",
        {"version": 6, "traffic_class": 0xB9, "dscp": 46, "ecn": 1, "flow_label": 0xABCDE, "length": 12}
        | {"next_header": 58, "hop_limit": 7, "src": IPv6Address(V6["src"]), "dst": IPv6Address(V6["dst"])},
    ),
    (EXTENDED, "ipv6_hopopts", {"next_header": 43, "length": 0}),
    (EXTENDED, "ipv6_routing", {"next_header": 44, "length": 2, "routing_type": 0, "segments_left": 0}),
    (EXTENDED, "ipv6_fragment", {"next_header": 60, "offset": 0, "more": False, "id": 0xCAFEBABE}),
    (EXTENDED, "ipv6_dstopts", {"next_header": 6, "length": 1}),
    (
        TCP4,
        "tcp",
        {"sport": 443, "dport": 51000, "seq": 0xDEADBEEF, "ack": 0x01020304, "data_offset": 5, "flags": 0xA5}
        | {"window": 0xFEDC, "urgent": 0x55AA, "checksum": checksum(TCP4, TCP)}
        | flags(0xA5),
    ),
    (UDP4, "udp", {"sport": 53, "dport": 5353, "length": 11, "checksum": checksum(UDP4, UDP)}),
    (ICMP4, "icmp", echo(8, 3, checksum(ICMP4, ICMP))),
    (ICMP6, "icmpv6", echo(128, 0, checksum(ICMP6, ICMPv6EchoRequest))),
    (SNAPPED, "llc", {"dsap": 0xAA, "ssap": 0xAA, "control": 3}),
    (SNAPPED, "snap", {"oui": 0x00000C, "type": 0x2000}),
    (LABELLED, "mpls", {"label": 0xABCDE, "tc": 5, "bottom": False, "ttl": 9}),
    (LABELLED, "inner_mpls", {"label": 16, "tc": 2, "bottom": True, "ttl": 200}),
    (
        SESSION,
        "pppoe",
        {"version": 1, "type": 1, "code": 0, "session": 0x1234, "length": len(SESSION) - 20, "protocol": 0x0057},
    ),
    (PROTECTED, "ah", {"next_header": 50, "length": 4, "spi": 0xA1B2C3D4, "seq": 0x01020304}),
    (PROTECTED, "esp", {"spi": 0xE1E2E3E4, "seq": 0x05060708}),
    (STREAMS, "sctp", {"sport": 36412, "dport": 38412, "tag": 0xC0FFEE00, "checksum": 0x01ABCDEF}),
    (GROUP, "igmp", {"type": 0x16, "max_resp": 10, "checksum": 0xBEEF, "group": IPv4Address("224.0.0.251")}),
    (
        IN_GRE,
        "gre",
        {"flag_checksum": True, "flag_routing": False, "flag_key": True, "flag_sequence": True, "flag_strict": False}
        | {"recursion": 0, "version": 0, "protocol": 0x86DD},
    ),
    (IN_VXLAN, "vxlan", {"flags": 8, "vni": 0xFEDCBA}),
    (
        IN_GENEVE,
        "geneve",
        {"version": 0, "option_length": 2, "flag_oam": True, "flag_critical": True, "protocol": 0x6558, "vni": 0xABCD},
    ),
    (
        IN_GTPU,
        "gtpu",
        {"version": 1, "flag_pt": True, "flag_extension": False, "flag_sequence": True, "flag_npdu": False}
        | {"type": 255, "length": 0x24, "teid": 0xDEADBEEF},
    ),
]
FRAMES = {name: bytes(frame) for frame, name, _ in EXPECTED}
NAMES = [h.name for h in HEADERS]


@pytest.mark.parametrize(("frame", "name", "fields"), EXPECTED, ids=[name for _, name, _ in EXPECTED])
def test_every_field_reads_as_scapy_set_it(frame: Scapy, name: str, fields: dict[str, Any]) -> None:
    view = getattr(packet_of(frame), name)
    assert view
    assert {f: getattr(view, f) for f in HEADER[name].field_names} == fields
    assert all(type(getattr(view, f)) is type(value) for f, value in fields.items())


def test_no_header_is_left_untested() -> None:
    assert sorted(NAMES) == sorted(name for _, name, _ in EXPECTED)


@pytest.mark.parametrize("name", NAMES)
def test_an_absent_header_is_falsy_reads_as_zeros_and_swallows_writes(name: str) -> None:
    packet = packet_of(b"")
    view = getattr(packet, name)
    zero = {"ipv4": IPv4Address(0), "ipv6": IPv6Address(0), "bool": False, "int": 0}
    assert not view
    for field in HEADER[name].fields:
        assert getattr(view, field.name) == zero[field.kind]
        if field.writable:
            setattr(view, field.name, 1 if field.kind != "ipv6" else IPv6Address(1))
            assert getattr(view, field.name) == zero[field.kind]
    if HEADER[name].options:
        assert view.options == b""
    if name in HEADER_METHODS["fix_checksum"]:
        view.fix_checksum()
    assert repr(view) == f"<no {name}>"
    assert bytes(data_of(packet)) == b""


WRITABLE = [(h, f) for h in HEADERS for f in h.fields if f.writable]


def place(packet: Packet, header: Header) -> int:
    """Where a header of the frames above lies, by what scapy put before it."""
    fixed = {
        "eth": 0, "vlan": 14, "inner_vlan": 18, "ipv6_hopopts": 54, "ipv6_routing": 62, "ipv6_fragment": 86,
        "ipv6_dstopts": 94, "llc": 14, "snap": 17, "mpls": 14, "inner_mpls": 18, "pppoe": 14, "ah": 34, "esp": 58,
        "gre": 34, "vxlan": 42, "geneve": 62, "gtpu": 42,
    }  # fmt: skip
    columns = columns_of(packet)
    l3 = header.name in ("arp", "ipv4", "ipv6")
    return fixed.get(header.name, columns.l3 if l3 else columns.l4)


def values(field: Field) -> st.SearchStrategy[Any]:
    return {
        "int": st.integers(-(1 << 70), 1 << 70),
        "bool": st.booleans() | st.integers(0, 9),
        "ipv4": st.ip_addresses(v=4) | st.integers(-(1 << 40), 1 << 40),
        "ipv6": st.ip_addresses(v=6),
    }[field.kind]


@given(st.data())
def test_a_write_changes_the_bits_of_its_field_and_no_others(data: st.DataObject) -> None:
    header, field = data.draw(st.sampled_from(WRITABLE))
    value = data.draw(values(field))
    noise = data.draw(st.binary(min_size=header.size, max_size=header.size))
    packet = packet_of(FRAMES[header.name])
    start = place(packet, header)
    raw = data_of(packet)
    if header.name not in EXTENSION_PROTO:  # found by walking
        raw[start : start + header.size] = noise
    bits = field.bits or 8 * field.width
    low = 8 * (header.size - field.offset - field.width) + field.shift
    mask = ((1 << bits) - 1) << low
    stored = int(bool(value)) if field.kind == "bool" else int(value) & ((1 << bits) - 1)
    old = int.from_bytes(raw[start : start + header.size], "big")
    expected = bytearray(raw)
    expected[start : start + header.size] = (old & ~mask | stored << low).to_bytes(header.size, "big")

    view = getattr(packet, header.name)
    setattr(view, field.name, value)

    assert bytes(raw) == expected
    if field.kind in ("int", "bool"):
        assert getattr(view, field.name) == stored
    else:
        assert int(getattr(view, field.name)) == stored


@pytest.mark.parametrize(
    ("header", "name"), [(h.name, f.name) for h in HEADERS for f in h.fields if not f.writable], ids=str
)
def test_fields_that_place_other_headers_cannot_be_written(header: str, name: str) -> None:
    for frame in (FRAMES[header], b""):
        packet = packet_of(frame)
        with pytest.raises(AttributeError, match=f"{header}.{name} cannot be written"):
            setattr(getattr(packet, header), name, 5)
        assert bytes(data_of(packet)) == frame


def test_a_misspelt_field_is_refused_with_the_one_that_was_meant() -> None:
    packet = packet_of(TCP4)
    with pytest.raises(AttributeError, match=r"pkt.ipv4 has no 'sorce'; did you mean 'src'\?"):
        _ = packet.ipv4.sorce
    with pytest.raises(AttributeError, match=r"pkt.tcp has no 'sports'; did you mean 'sport'\?"):
        packet.tcp.sports = 5
    with pytest.raises(AttributeError, match=r"pkt.udp has no 'options'; it has sport, dport, length, checksum"):
        _ = packet.udp.options
    with pytest.raises(AttributeError, match=r"pkt.eth has no 'fix_checksum'"):
        packet.eth.fix_checksum()
    with pytest.raises(AttributeError, match=r"pkt has no 'ipv5'; did you mean 'ipv6'\?"):
        _ = packet.ipv5
    with pytest.raises(AttributeError, match=r"pkt.payload cannot be written"):
        packet.payload = b""  # type: ignore[assignment, misc]
    with pytest.raises(AttributeError, match=r"pkt.ipv4 cannot be written: write its fields, e.g. pkt.ipv4.tos"):
        packet.ipv4 = 1
    with pytest.raises(AttributeError, match=r"pkt has no 'lenght'; did you mean 'length'\?"):
        packet.lenght = 1
    with pytest.raises(AttributeError, match=r"ipv4.options cannot be written"):
        packet.ipv4.options = b""


@pytest.mark.parametrize(
    ("header", "field", "value", "wanted"),
    [
        ("tcp", "sport", "80", "an integer, not str"),
        ("tcp", "sport", 1.5, "an integer, not float"),
        ("tcp", "flag_syn", "yes", "True or False, not str"),
        ("ipv4", "src", ip("2001:db8::1"), "an IPv4 address, not IPv6Address"),
        ("ipv6", "src", ip("192.0.2.1"), "an IPv6 address, not IPv4Address"),
        ("ipv6", "dst", 7, "an IPv6 address, not int"),
    ],
)
def test_a_value_of_another_type_is_refused(header: str, field: str, value: object, wanted: str) -> None:
    with pytest.raises(TypeError, match=f"{header}.{field} takes {wanted}"):
        setattr(getattr(packet_of(TCP4), header), field, value)


def test_options_are_the_bytes_between_the_fixed_part_and_the_headers_end() -> None:
    assert packet_of(TCP4).ipv4.options == OPTIONS4
    assert packet_of(TCP4).tcp.options == b""
    assert packet_of(TCP_OPTIONS).tcp.options == OPTIONS_TCP
    padded = bytearray(bytes(TCP_OPTIONS / Padding(b"pad")))
    padded[17] = 43  # IP ends inside the options
    assert packet_of(bytes(padded)).tcp.options == OPTIONS_TCP[:3]
    cut = packet_of(TCP_OPTIONS, captured=14 + 20 + 20 + 5)
    assert cut.tcp
    assert cut.tcp.options == OPTIONS_TCP[:5]
