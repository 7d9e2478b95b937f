"""ESP: all behind its sequence number is encrypted, or may be."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("esp", "transport", "", "RFC 4303 section 2")
def esp(data: Words, at: int, end: int) -> Step:
    if at + 8 > end:
        return ABSENT, at, end
    return OPAQUE, at + 8, end
