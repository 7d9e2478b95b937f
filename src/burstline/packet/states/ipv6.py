"""IPv6."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("ipv6", "network", "ipv6 next header", "RFC 8200 section 3")
def ipv6(data: Words, at: int, end: int) -> Step:
    """A payload length of 0 is that of a jumbogram (RFC 2675), or of a packet that a NIC was still to segment."""
    if at + 40 > end or be8(data, at) >> 4 != 6:
        return ABSENT, at, end
    length = be16(data, at + 4)
    if length != 0:
        end = min(end, at + 40 + length)
    return be8(data, at + 6), at + 40, end
