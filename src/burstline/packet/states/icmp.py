"""ICMP."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("icmp", "transport", "", "RFC 792")
def icmp(data: Words, at: int, end: int) -> Step:
    if at + 8 > end:
        return ABSENT, at, end
    return OPAQUE, at + 8, end
