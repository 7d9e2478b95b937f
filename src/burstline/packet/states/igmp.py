"""IGMP of all versions: their first 8 bytes are alike."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("igmp", "transport", "", "RFC 9776 section 4 (IGMPv3), RFC 2236 section 2, RFC 1112 appendix I")
def igmp(data: Words, at: int, end: int) -> Step:
    if at + 8 > end:
        return ABSENT, at, end
    return OPAQUE, at + 8, end
