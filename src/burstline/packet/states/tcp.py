"""TCP, with options."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("tcp", "transport", "tcp port", "RFC 9293 section 3.1")
def tcp(data: Words, at: int, end: int) -> Step:
    if at + 20 > end:
        return ABSENT, at, end
    size = (be8(data, at + 12) >> 4) * 4
    return be16(data, at + 2) | be16(data, at) << 16, min(end, at + max(size, 20)), end
