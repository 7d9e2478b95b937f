"""From bytes to headers: one function per layer, each returning where the next one starts.

The same source runs compiled (`data` is an address) and interpreted (`data` is a memoryview, whose own bounds checks
then prove that nothing outside the packet is read). Offsets count from the packet's first byte; -1 means "not there".
A malformed packet is never an error: parsing stops at the last header that made sense, and the rest is payload.
"""

from __future__ import annotations

from typing import NamedTuple

from burstline.native.words import Words, be8, be16, be32
from burstline.packet.fields import FRAGMENT, PRESENT

LINK_ETHERNET, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_NULL, LINK_UNKNOWN = range(6)

ETH, VLAN, INNER_VLAN, ARP = PRESENT["eth"], PRESENT["vlan"], PRESENT["inner_vlan"], PRESENT["arp"]
IPV4, IPV6, TCP, UDP = PRESENT["ipv4"], PRESENT["ipv6"], PRESENT["tcp"], PRESENT["udp"]
ICMP, ICMPV6 = PRESENT["icmp"], PRESENT["icmpv6"]
HOPOPTS, ROUTING = PRESENT["ipv6_hopopts"], PRESENT["ipv6_routing"]
FRAGMENT6, DSTOPTS = PRESENT["ipv6_fragment"], PRESENT["ipv6_dstopts"]

ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_ARP = 0x0800, 0x86DD, 0x0806
PROTO_ICMP, PROTO_TCP, PROTO_UDP, PROTO_ICMPV6 = 1, 6, 17, 58


class Parsed(NamedTuple):
    """What the parser found: a bit set of headers (`fields.PRESENT`) and offsets in bytes from the packet's start."""

    present: int
    vlan_depth: int
    l3: int
    l4: int
    payload: int
    end: int  # where the payload ends: the IP or UDP length says so, never past the captured bytes
    proto: int  # the IP protocol after all extension headers; without IP, the EtherType


def parse(data: Words, captured: int, link: int) -> tuple[int, int, int, int, int, int, int]:
    """The fields of `Parsed` for `captured` bytes that start with the link layer `link` (a `LINK_` number)."""
    if link == LINK_ETHERNET:
        if captured < 14:
            return 0, 0, 0, 0, 0, captured, 0
        present, depth, kind, at = skip_tags(data, captured, ETH, be16(data, 12), 14)
    else:
        kind, at = other_link(data, captured, link)
        present, depth, kind, at = skip_tags(data, captured, 0, kind, at)
        present = 0
    kind, at = encapsulated(data, captured, kind, at)
    if kind == ETHERTYPE_IPV4:
        return parse_ipv4(data, captured, at, present, depth)
    if kind == ETHERTYPE_IPV6:
        return parse_ipv6(data, captured, at, present, depth)
    if kind == ETHERTYPE_ARP and at + 28 <= captured and be32(data, at) == 0x00010800 and be16(data, at + 4) == 0x0604:
        return present | ARP, depth, at, at, at + 28, captured, kind
    return present, depth, at, at, at, captured, kind


def skip_tags(data: Words, captured: int, present: int, kind: int, at: int) -> tuple[int, int, int, int]:
    """802.1Q and 802.1ad tags, any number of them (IEEE 802.1Q-2022 clause 9.5; 0x9100 is the old QinQ)."""
    depth = 0
    while (kind == 0x8100 or kind == 0x88A8 or kind == 0x9100) and at + 4 <= captured:
        present |= VLAN if depth == 0 else INNER_VLAN
        depth += 1
        kind = be16(data, at + 2)
        at += 4
    return present, depth, kind, at


def other_link(data: Words, captured: int, link: int) -> tuple[int, int]:
    """EtherType and offset of what follows a link layer that is not Ethernet (tcpdump.org/linktypes.html)."""
    if link == LINK_RAW and captured >= 1:
        return by_version(be8(data, 0)), 0
    if link == LINK_SLL and captured >= 16:
        return be16(data, 14), 16
    if link == LINK_SLL2 and captured >= 20:
        return be16(data, 0), 20
    if link == LINK_NULL and captured >= 5:
        # the address family, in the byte order of whoever captured: 2 is IPv4, IPv6 has a number per system
        return by_version(be8(data, 4)), 4
    return 0, 0


def by_version(first: int) -> int:
    return ETHERTYPE_IPV4 if first >> 4 == 4 else ETHERTYPE_IPV6 if first >> 4 == 6 else 0


def encapsulated(data: Words, captured: int, kind: int, at: int) -> tuple[int, int]:
    """Through 802.2 LLC/SNAP (RFC 1042), PPPoE sessions (RFC 2516) and MPLS labels (RFC 3032) to what they carry."""
    if kind < 0x0600 and at + 8 <= captured and be32(data, at) == 0xAAAA0300 and be16(data, at + 4) == 0:
        kind, at = be16(data, at + 6), at + 8
    if kind == 0x8864 and at + 8 <= captured and be16(data, at) == 0x1100:
        ppp = be16(data, at + 6)
        return ETHERTYPE_IPV4 if ppp == 0x0021 else ETHERTYPE_IPV6 if ppp == 0x0057 else 0, at + 8
    if kind == 0x8847 or kind == 0x8848:
        bottom = False
        while not bottom and at + 4 <= captured:
            bottom = be8(data, at + 2) & 1 == 1
            at += 4
        return (by_version(be8(data, at)) if bottom and at < captured else 0), at
    return kind, at


def parse_ipv4(
    data: Words, captured: int, at: int, present: int, depth: int
) -> tuple[int, int, int, int, int, int, int]:
    """RFC 791 section 3.1. A total length of 0 is a packet that the sender's NIC was still to segment."""
    if at + 20 > captured or be8(data, at) >> 4 != 4:
        return present, depth, at, at, at, captured, ETHERTYPE_IPV4
    size = (be8(data, at) & 15) * 4
    total = be16(data, at + 2)
    proto = be8(data, at + 9)
    present |= IPV4
    end = captured if total == 0 else min(captured, at + total)
    fragment = be16(data, at + 6) & 0x3FFF
    if fragment:
        present |= FRAGMENT
    if size < 20 or at + size > end or fragment & 0x1FFF:
        body = min(at + max(size, 20), end)
        return present, depth, at, body, body, end, proto
    return parse_l4(data, at, at + size, end, present, depth, proto)


def parse_ipv6(
    data: Words, captured: int, at: int, present: int, depth: int
) -> tuple[int, int, int, int, int, int, int]:
    """RFC 8200 section 3 and 4. A payload length of 0 is a jumbogram, or was to be segmented by the sender's NIC."""
    if at + 40 > captured or be8(data, at) >> 4 != 6:
        return present, depth, at, at, at, captured, ETHERTYPE_IPV6
    length = be16(data, at + 4)
    end = captured if length == 0 else min(captured, at + 40 + length)
    proto = be8(data, at + 6)
    present |= IPV6
    body = at + 40
    while is_extension(proto) and body + 8 <= end:
        size = 8 + 8 * be8(data, body + 1)
        if proto == 0:
            present |= HOPOPTS
        elif proto == 43:
            present |= ROUTING
        elif proto == 60:
            present |= DSTOPTS
        elif proto == 51:
            size = 8 + 4 * be8(data, body + 1)  # RFC 4302 section 2.2
        elif proto == 44:
            size = 8
            present |= FRAGMENT6
            if be16(data, body + 2) & 0xFFF9:
                present |= FRAGMENT
            if be16(data, body + 2) & 0xFFF8:
                return present, depth, at, body + 8, body + 8, end, be8(data, body)
        if body + size > end:
            return present, depth, at, body, body, end, proto
        proto = be8(data, body)
        body += size
    if is_extension(proto):
        return present, depth, at, body, body, end, proto
    return parse_l4(data, at, body, end, present, depth, proto)


def is_extension(proto: int) -> bool:
    """Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6."""
    return (
        proto == 0
        or proto == 43
        or proto == 44
        or proto == 51
        or proto == 60
        or proto == 135
        or proto == 139
        or proto == 140
    )


def parse_l4(
    data: Words, l3: int, at: int, end: int, present: int, depth: int, proto: int
) -> tuple[int, int, int, int, int, int, int]:
    """TCP (RFC 9293 section 3.1), UDP (RFC 768), ICMP (RFC 792), ICMPv6 (RFC 4443)."""
    payload = at
    if proto == PROTO_TCP and at + 20 <= end:
        present |= TCP
        size = (be8(data, at + 12) >> 4) * 4
        payload = min(end, at + max(size, 20))
    elif proto == PROTO_UDP and at + 8 <= end:
        present |= UDP
        payload = at + 8
        length = be16(data, at + 4)
        if length >= 8:
            end = min(end, at + length)
    elif proto == PROTO_ICMP and present & IPV4 and at + 8 <= end:
        present |= ICMP
        payload = at + 8
    elif proto == PROTO_ICMPV6 and present & IPV6 and at + 8 <= end:
        present |= ICMPV6
        payload = at + 8
    return present, depth, l3, at, payload, end, proto


def has_ports(present: int, proto: int, l4: int, end: int) -> bool:
    """The first four bytes at `l4` are ports: TCP, UDP, DCCP, SCTP and UDP-Lite (IANA protocol numbers)."""
    known = proto == 6 or proto == 17 or proto == 33 or proto == 132 or proto == 136
    return known and present & (IPV4 | IPV6) != 0 and l4 + 4 <= end
