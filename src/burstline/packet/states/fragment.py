"""The IPv6 fragment header."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, FRAGMENTED, OPAQUE, Step, parser_state


@parser_state("ipv6_fragment", "extension", "ipv6 next header", "RFC 8200 section 4.5")
def fragment(data: Words, at: int, end: int) -> Step:
    """With offset 0 and no more to come, the packet is whole (an atomic fragment, RFC 6946)."""
    if at + 8 > end:
        return ABSENT, at, end
    selector = be8(data, at)
    piece = be16(data, at + 2)
    if piece & 0xFFF9:
        selector |= FRAGMENTED
    if piece & 0xFFF8:
        selector |= OPAQUE
    return selector, at + 8, end
