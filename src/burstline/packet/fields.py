"""Every header field burstline knows, as data: the compiled views and the interpreted ones are both made from it.

A field lies in a big-endian word of `width` bytes at `offset` from the start of its header: shift right, then mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["int", "bool", "ipv4", "ipv6"]


@dataclass(frozen=True)
class Field:
    """`(big_endian(width bytes at offset) >> shift) & mask`; an address is `kind` ipv4 (4 bytes) or ipv6 (16 bytes)."""

    name: str
    offset: int
    width: int
    shift: int = 0
    bits: int = 0
    kind: Kind = "int"
    writable: bool = True

    @property
    def mask(self) -> int:
        return (1 << (self.bits or 8 * self.width)) - 1

    @property
    def whole(self) -> bool:
        """The field fills its word: a store needs no read before it."""
        return self.shift == 0 and self.mask == (1 << (8 * self.width)) - 1


@dataclass(frozen=True)
class Header:
    """A header as stages see it: `pkt.<name>`; `size` bytes are inside the packet wherever the header is present."""

    name: str
    size: int
    fields: tuple[Field, ...]
    source: str
    options: bool = False  # has `.options`: the bytes between the fixed part and the header's end

    def field(self, name: str) -> Field | None:
        return _BY_NAME[self.name].get(name)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


def _flag(name: str, offset: int, width: int, bit: int) -> Field:
    return Field(name, offset, width, bit, 1, "bool")


def _vlan(name: str) -> Header:
    return Header(
        name,
        4,
        (
            Field("tci", 0, 2),
            Field("pcp", 0, 2, 13, 3),
            _flag("dei", 0, 2, 12),
            Field("id", 0, 2, 0, 12),
            Field("type", 2, 2),
        ),
        "IEEE 802.1Q-2022 clause 9.6: TCI, then the next EtherType",
    )


def _extension(name: str, clause: str) -> Header:
    return Header(
        name,
        8,
        (
            Field("next_header", 0, 1),
            Field("length", 1, 1, writable=False),
            Field("routing_type", 2, 1),
            Field("segments_left", 3, 1),
        )
        if name == "ipv6_routing"
        else (Field("next_header", 0, 1), Field("length", 1, 1, writable=False)),
        clause,
    )


def _icmp(name: str, source: str) -> Header:
    return Header(
        name,
        8,
        (
            Field("type", 0, 1),
            Field("code", 1, 1),
            Field("checksum", 2, 2),
            Field("id", 4, 2),
            Field("seq", 6, 2),
            Field("rest", 4, 4),
        ),
        source,
    )


HEADERS: tuple[Header, ...] = (
    Header(
        "eth",
        14,
        (Field("dst", 0, 6), Field("src", 6, 6), Field("type", 12, 2)),
        "IEEE 802.3-2022 clause 3.2",
    ),
    _vlan("vlan"),
    _vlan("inner_vlan"),
    Header(
        "arp",
        28,
        (
            Field("htype", 0, 2),
            Field("ptype", 2, 2),
            Field("hlen", 4, 1),
            Field("plen", 5, 1),
            Field("op", 6, 2),
            Field("sha", 8, 6),
            Field("spa", 14, 4, kind="ipv4"),
            Field("tha", 18, 6),
            Field("tpa", 24, 4, kind="ipv4"),
        ),
        "RFC 826, for IPv4 over Ethernet",
    ),
    Header(
        "ipv4",
        20,
        (
            Field("version", 0, 1, 4, 4, writable=False),
            Field("ihl", 0, 1, 0, 4, writable=False),
            Field("tos", 1, 1),
            Field("dscp", 1, 1, 2, 6),
            Field("ecn", 1, 1, 0, 2),
            Field("length", 2, 2),
            Field("id", 4, 2),
            _flag("df", 6, 2, 14),
            _flag("mf", 6, 2, 13),
            Field("frag_offset", 6, 2, 0, 13),
            Field("ttl", 8, 1),
            Field("proto", 9, 1),
            Field("checksum", 10, 2),
            Field("src", 12, 4, kind="ipv4"),
            Field("dst", 16, 4, kind="ipv4"),
        ),
        "RFC 791 section 3.1",
        options=True,
    ),
    Header(
        "ipv6",
        40,
        (
            Field("version", 0, 4, 28, 4, writable=False),
            Field("traffic_class", 0, 4, 20, 8),
            Field("dscp", 0, 4, 22, 6),
            Field("ecn", 0, 4, 20, 2),
            Field("flow_label", 0, 4, 0, 20),
            Field("length", 4, 2),
            Field("next_header", 6, 1),
            Field("hop_limit", 7, 1),
            Field("src", 8, 16, kind="ipv6"),
            Field("dst", 24, 16, kind="ipv6"),
        ),
        "RFC 8200 section 3",
    ),
    _extension("ipv6_hopopts", "RFC 8200 section 4.3"),
    _extension("ipv6_routing", "RFC 8200 section 4.4"),
    Header(
        "ipv6_fragment",
        8,
        (
            Field("next_header", 0, 1),
            Field("offset", 2, 2, 3, 13),
            _flag("more", 2, 2, 0),
            Field("id", 4, 4),
        ),
        "RFC 8200 section 4.5",
    ),
    _extension("ipv6_dstopts", "RFC 8200 section 4.6"),
    Header(
        "tcp",
        20,
        (
            Field("sport", 0, 2),
            Field("dport", 2, 2),
            Field("seq", 4, 4),
            Field("ack", 8, 4),
            Field("data_offset", 12, 1, 4, 4, writable=False),
            Field("flags", 13, 1),
            _flag("flag_cwr", 13, 1, 7),
            _flag("flag_ece", 13, 1, 6),
            _flag("flag_urg", 13, 1, 5),
            _flag("flag_ack", 13, 1, 4),
            _flag("flag_psh", 13, 1, 3),
            _flag("flag_rst", 13, 1, 2),
            _flag("flag_syn", 13, 1, 1),
            _flag("flag_fin", 13, 1, 0),
            Field("window", 14, 2),
            Field("checksum", 16, 2),
            Field("urgent", 18, 2),
        ),
        "RFC 9293 section 3.1",
        options=True,
    ),
    Header(
        "udp",
        8,
        (Field("sport", 0, 2), Field("dport", 2, 2), Field("length", 4, 2), Field("checksum", 6, 2)),
        "RFC 768",
    ),
    _icmp("icmp", "RFC 792; id and seq as in Echo"),
    _icmp("icmpv6", "RFC 4443 section 2.1; id and seq as in Echo"),
)

_BY_NAME = {h.name: {f.name: f for f in h.fields} for h in HEADERS}
HEADER = {h.name: h for h in HEADERS}

# The bit of each header in the burst's `present` column, in the order above; FRAGMENT marks any IP fragment.
PRESENT = {h.name: 1 << k for k, h in enumerate(HEADERS)}
FRAGMENT = 1 << len(HEADERS)

PACKET_FIELDS = {
    "length": "bytes on the wire",
    "captured": "bytes that are here to read; less than `length` when the capture cut the packet",
    "time": "nanoseconds since the epoch (int64)",
    "port": "where it came from: the port's or source's number",
    "payload": "the bytes after the last header that was understood, without Ethernet's padding",
    "proto": "the IP protocol of what follows IP and its extension headers; 0 without IP",
    "is_fragment": "it is an IP fragment, the first one included",
}
PACKET_METHODS = {"fix_checksums": "recompute the IPv4, TCP, UDP, ICMP and ICMPv6 checksums that are present"}
HEADER_METHODS = {"fix_checksum": ("ipv4", "tcp", "udp", "icmp", "icmpv6")}
