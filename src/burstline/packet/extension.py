"""Where an IPv6 extension header lies (RFC 8200 section 4): one source, compiled and interpreted."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser import is_extension

EXTENSION_PROTO = {"ipv6_hopopts": 0, "ipv6_routing": 43, "ipv6_fragment": 44, "ipv6_dstopts": 60}


def find_extension(data: Words, l3: int, end: int, wanted: int) -> int:
    """Offset of the first extension header of type `wanted` after the IPv6 header at `l3`, or -1.

    The walk ends where the parser's ended: at the first header that is none, or that does not fit before `end`.
    """
    proto = be8(data, l3 + 6)
    at = l3 + 40
    while is_extension(proto) and at + 8 <= end:
        if proto == wanted:
            return at
        size = 8 if proto == 44 else 8 + 4 * be8(data, at + 1) if proto == 51 else 8 + 8 * be8(data, at + 1)
        proto = be8(data, at)
        at += size
    return -1
