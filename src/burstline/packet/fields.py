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
        return next((f for f in self.fields if f.name == name), None)

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(f.name for f in self.fields)


def _flag(name: str, offset: int, width: int, bit: int, *, writable: bool = True) -> Field:
    return Field(name, offset, width, bit, 1, "bool", writable)


def _label(name: str) -> Header:
    return Header(
        name,
        4,
        (
            Field("label", 0, 4, 12, 20),
            Field("tc", 0, 4, 9, 3),
            _flag("bottom", 0, 4, 8, writable=False),
            Field("ttl", 3, 1),
        ),
        "RFC 3032 section 2.1; the traffic class: RFC 5462",
    )


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
        "llc",
        3,
        (Field("dsap", 0, 1), Field("ssap", 1, 1), Field("control", 2, 1)),
        "ISO/IEC 8802-2:1998 clause 3.2; the first byte of control",
    ),
    Header("snap", 5, (Field("oui", 0, 4, 8, 24), Field("type", 3, 2)), "IEEE 802-2014 clause 9.5"),
    _label("mpls"),
    _label("inner_mpls"),
    Header(
        "pppoe",
        8,
        (
            Field("version", 0, 1, 4, 4, writable=False),
            Field("type", 0, 1, 0, 4, writable=False),
            Field("code", 1, 1),
            Field("session", 2, 2),
            Field("length", 4, 2),
            Field("protocol", 6, 2),
        ),
        "RFC 2516 section 4; the PPP protocol behind it included",
    ),
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
    Header(
        "ah",
        12,
        (Field("next_header", 0, 1), Field("length", 1, 1, writable=False), Field("spi", 4, 4), Field("seq", 8, 4)),
        "RFC 4302 section 2",
    ),
    Header(
        "sctp",
        12,
        (Field("sport", 0, 2), Field("dport", 2, 2), Field("tag", 4, 4), Field("checksum", 8, 4)),
        "RFC 9260 section 3.1",
    ),
    Header(
        "igmp",
        8,
        (Field("type", 0, 1), Field("max_resp", 1, 1), Field("checksum", 2, 2), Field("group", 4, 4, kind="ipv4")),
        "RFC 2236 section 2",
    ),
    Header("esp", 8, (Field("spi", 0, 4), Field("seq", 4, 4)), "RFC 4303 section 2"),
    Header(
        "gre",
        4,
        (
            _flag("flag_checksum", 0, 2, 15),
            _flag("flag_routing", 0, 2, 14),
            _flag("flag_key", 0, 2, 13),
            _flag("flag_sequence", 0, 2, 12),
            _flag("flag_strict", 0, 2, 11),
            Field("recursion", 0, 2, 8, 3),
            Field("version", 0, 2, 0, 3, writable=False),
            Field("protocol", 2, 2),
        ),
        "RFC 2784 section 2, RFC 2890 section 2, RFC 1701",
    ),
    Header("vxlan", 8, (Field("flags", 0, 1), Field("vni", 4, 4, 8, 24)), "RFC 7348 section 5"),
    Header(
        "geneve",
        8,
        (
            Field("version", 0, 1, 6, 2, writable=False),
            Field("option_length", 0, 1, 0, 6, writable=False),
            _flag("flag_oam", 1, 1, 7),
            _flag("flag_critical", 1, 1, 6),
            Field("protocol", 2, 2),
            Field("vni", 4, 4, 8, 24),
        ),
        "RFC 8926 section 3.4; the length of options in words of 4 bytes",
    ),
    Header(
        "gtpu",
        8,
        (
            Field("version", 0, 1, 5, 3, writable=False),
            _flag("flag_pt", 0, 1, 4, writable=False),
            _flag("flag_extension", 0, 1, 2, writable=False),
            _flag("flag_sequence", 0, 1, 1, writable=False),
            _flag("flag_npdu", 0, 1, 0, writable=False),
            Field("type", 1, 1),
            Field("length", 2, 2),
            Field("teid", 4, 4),
        ),
        "3GPP TS 29.281 clause 5.1",
    ),
)

HEADER = {h.name: h for h in HEADERS}

# The bit of each header in the burst's `present` column, in the order above. FRAGMENT marks any IP fragment, OPAQUE an
# IP packet of whose payload nothing can be parsed: a fragment after the first one, or one that is cut in its headers.
PRESENT = {h.name: 1 << k for k, h in enumerate(HEADERS)}
FRAGMENT = 1 << len(HEADERS)
OPAQUE = FRAGMENT << 1

PACKET_FIELDS = {
    "length": "bytes on the wire",
    "captured": "bytes that are here to read; less than `length` when the capture cut the packet",
    "time": "nanoseconds since the epoch (int64)",
    "port": "where it came from: the port's or source's number",
    "payload": "the bytes after the last header that was understood, tunnels left alone, without Ethernet's padding",
    "proto": "the IP protocol of what follows IP and its extension headers; 0 without IP",
    "is_fragment": "it is an IP fragment, the first one included",
    "vlan_depth": "how many VLAN tags it has",
    "mpls_depth": "how many MPLS labels it has",
    "segments": "how many packets of the wire it was merged of; 1 where it is as it came",
    "mark": "the number that a steering rule, or a stage before, gave it; 0 for none",
    "segment_size": "bytes of payload that each of its segments has, or shall have when it is sent; 0: it is not cut",
}
MOST_SEGMENT = 65535  # bytes that a segment size can say
WRITABLE = {"segment_size": MOST_SEGMENT, "mark": (1 << 24) - 1}  # and what of a number is kept
LEVELS = {"outer": "the packet itself: its outermost headers", "inner": "what its tunnel carries; false without one"}
OF_INNER = ("payload", "proto", "is_fragment", "vlan_depth", "mpls_depth")  # of PACKET_FIELDS, what `pkt.inner` has
PACKET_METHODS = {
    "fix_checksums": "recompute the IPv4, TCP, UDP, ICMP and ICMPv6 checksums that are present",
    "checksums_ok": "whether none of these that can be told is wrong",
    "clone": "a copy of it, which leaves by the port of that number, or where packets go that come through",
}
HEADER_METHODS = {"fix_checksum": ("ipv4", "tcp", "udp", "icmp", "icmpv6")}
