"""Where the headers of a frame are, for offloads: Ethernet, VLAN tags, IPv4 or IPv6, and TCP, UDP, SCTP or ICMP,
also behind VXLAN or GRE. One source, compiled (`data` is an address) and interpreted (bytes).

The pipeline's parser knows more, and comes later: segments are merged before it, packets that leave are cut behind it.
"""

from __future__ import annotations

from burstline.native.words import Words, be8, be16

# The shape of a frame; 0 where it is none of these.
V4, V6, TCP, UDP, SCTP, ICMP, ICMPV6 = 1, 2, 4, 8, 16, 32, 64
FRAGMENT, OPTIONS, VLAN = 128, 256, 512  # OPTIONS: the (inner) IP header has options, or extension headers follow it
OUTER_V4, OUTER_V6, VXLAN, GRE = 1024, 2048, 4096, 8192
L4 = TCP | UDP | SCTP | ICMP | ICMPV6
TUNNEL = VXLAN | GRE

VXLAN_PORT = 4789  # RFC 7348 section 5
MOST_TAGS, MOST_EXTENSIONS = 4, 8

Headers = tuple[int, int, int, int, int, int]


def find_headers(data: Words, size: int, vxlan_port: int = VXLAN_PORT) -> Headers:
    """`(shape, outer_l3, outer_l4, l3, l4, payload)` of the `size` bytes at `data`: offsets of the outer IP header and
    of what follows it, 0 without a tunnel; of the (inner) IP header, the transport header, and what follows that.
    `payload` is `l4` where the transport header is not whole, or of no kind known here; a header that is not whole is
    not there. Fragments have no transport header. `vxlan_port` is where VXLAN goes to."""
    shape, l3 = find_ip(data, 0, size)
    if shape == 0:
        return 0, 0, 0, 0, 0, 0
    shape, l4, payload = find_transport(data, size, shape, l3)
    inner = 0
    if shape & UDP and size >= payload + 8 and be16(data, l4 + 2) == vxlan_port and be8(data, payload) & 8:
        inner, at = payload + 8, VXLAN
    elif be_protocol(data, shape, l3, l4, size) == 47 and not shape & FRAGMENT and size >= l4 + 4:
        inner, at = gre_payload(data, l4, size), GRE
    else:
        at = 0
    if inner == 0:
        return shape, 0, 0, l3, l4, payload
    if at == GRE and be16(data, l4 + 2) != 0x6558:
        found, inner_l3 = ip_at(data, inner, size, be16(data, l4 + 2))
    else:
        found, inner_l3 = find_ip(data, inner, size)
    if found == 0:
        return shape, 0, 0, l3, l4, payload
    outer = (OUTER_V4 if shape & V4 else OUTER_V6) | shape & VLAN | at
    found, inner_l4, inner_payload = find_transport(data, size, found & ~VLAN, inner_l3)
    return outer | found, l3, l4, inner_l3, inner_l4, inner_payload


def find_ip(data: Words, at: int, size: int) -> tuple[int, int]:
    """Behind the Ethernet header at `at`: V4 or V6, with VLAN where tags were passed; and where that header is."""
    if size < at + 14:
        return 0, 0
    kind, l3, tags = be16(data, at + 12), at + 14, 0
    while (kind == 0x8100 or kind == 0x88A8) and tags < MOST_TAGS and size >= l3 + 4:
        kind = be16(data, l3 + 2)
        l3 += 4
        tags += 1
    found, l3 = ip_at(data, l3, size, kind)
    return (found | VLAN if tags and found else found), l3


def ip_at(data: Words, l3: int, size: int, kind: int) -> tuple[int, int]:
    """Whether an IP header of this EtherType is at `l3`, with all its options."""
    if kind == 0x0800 and size >= l3 + 20:
        first = be8(data, l3)
        length = (first & 15) * 4
        if first >> 4 == 4 and length >= 20 and size >= l3 + length:
            return V4 | (OPTIONS if length > 20 else 0), l3
    if kind == 0x86DD and size >= l3 + 40 and be8(data, l3) >> 4 == 6:
        return V6, l3
    return 0, 0


def find_transport(data: Words, size: int, shape: int, l3: int) -> tuple[int, int, int]:
    """The shape with what follows IP, where that is, and where its own payload is."""
    if shape & V4:
        l4, proto = l3 + (be8(data, l3) & 15) * 4, be8(data, l3 + 9)
        if be16(data, l3 + 6) & 0x3FFF:  # RFC 791 section 3.1: more fragments, or an offset
            return shape | FRAGMENT, l4, l4
    else:
        l4, proto = l3 + 40, be8(data, l3 + 6)
        headers = 0
        while is_extension(proto) and headers < MOST_EXTENSIONS and size >= l4 + 8:
            shape |= OPTIONS
            headers += 1
            if proto == 44:
                return shape | FRAGMENT, l4, l4
            proto, l4 = be8(data, l4), l4 + (be8(data, l4 + 1) + 1) * 8
    if proto == 6 and size >= l4 + 20:
        length = (be8(data, l4 + 12) >> 4) * 4
        if length >= 20 and size >= l4 + length:
            return shape | TCP, l4, l4 + length
    elif proto == 17 and size >= l4 + 8:
        return shape | UDP, l4, l4 + 8
    elif proto == 132 and size >= l4 + 12:
        return shape | SCTP, l4, l4 + 12
    elif proto == 1 and shape & V4 and size >= l4 + 8:
        return shape | ICMP, l4, l4 + 8
    elif proto == 58 and shape & V6 and size >= l4 + 4:
        return shape | ICMPV6, l4, l4 + 4
    return shape, l4, l4


def is_extension(proto: int) -> bool:
    """RFC 8200 section 4: hop-by-hop and destination options, routing, fragment."""
    return proto == 0 or proto == 43 or proto == 44 or proto == 60


def be_protocol(data: Words, shape: int, l3: int, l4: int, size: int) -> int:
    """What IP says follows, where no other headers come between."""
    if shape & V4:
        return be8(data, l3 + 9)
    return be8(data, l3 + 6) if l4 == l3 + 40 else 0


def gre_payload(data: Words, gre: int, size: int) -> int:
    """Where the payload of the GRE header is (RFC 2784, RFC 2890); 0 where its version or its flags are others."""
    flags = be16(data, gre)
    if flags & 0x4FFF:  # routing (RFC 1701), reserved bits, version
        return 0
    length = 4 + (4 if flags & 0x8000 else 0) + (4 if flags & 0x2000 else 0) + (4 if flags & 0x1000 else 0)
    return gre + length if size >= gre + length else 0
