"""Headers between IP and what it carries (RFC 8200 section 4, RFC 4302): one source, compiled and interpreted."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser_state import ABSENT, OPAQUE, Step

EXTENSION_PROTO = {"ipv6_hopopts": 0, "ipv6_routing": 43, "ipv6_fragment": 44, "ipv6_dstopts": 60, "ah": 51}


def step_over(data: Words, at: int, end: int, unit: int) -> Step:
    """Past a header of the common form: the next header's number, then its length in units, less 8 bytes."""
    if at + 8 > end:
        return ABSENT, at, end
    size = 8 + unit * be8(data, at + 1)
    if at + size > end:
        return OPAQUE | be8(data, at), at, end
    return be8(data, at), at + size, end


def find_extension(data: Words, l3: int, end: int, wanted: int) -> int:
    """Offset of the first header of type `wanted` after the IP header at `l3`, or -1.

    The walk ends where the parser's ended: at the first header that is none, or that does not fit before `end`.
    """
    proto = be8(data, l3 + 6)
    at = l3 + 40
    if be8(data, l3) >> 4 == 4:
        proto = 51 if be8(data, l3 + 9) == 51 else 59  # "no next header"
        at = l3 + (be8(data, l3) & 15) * 4
    while is_extension(proto) and at + 8 <= end:
        if proto == wanted:
            return at
        size = 8 if proto == 44 else 8 + 4 * be8(data, at + 1) if proto == 51 else 8 + 8 * be8(data, at + 1)
        proto = be8(data, at)
        at += size
    return -1


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
