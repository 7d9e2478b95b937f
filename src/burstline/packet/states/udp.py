"""UDP."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("udp", "transport", "udp port", "RFC 768")
def udp(data: Words, at: int, end: int) -> Step:
    """A length below 8 is none: RFC 2675 section 4 for jumbograms, and segmentation that a NIC was still to do."""
    if at + 8 > end:
        return ABSENT, at, end
    length = be16(data, at + 4)
    if length >= 8:
        end = min(end, at + length)
    return be16(data, at + 2) | be16(data, at) << 16, at + 8, end
