"""Geneve, with options."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("geneve", "tunnel", "tunnelled", "RFC 8926 section 3.4")
def geneve(data: Words, at: int, end: int) -> Step:
    """Version 0; the options' length is in words of 4 bytes. What it carries is named by an EtherType."""
    if at + 8 > end or be8(data, at) >> 6 != 0:
        return ABSENT, at, end
    after = at + 8 + (be8(data, at) & 63) * 4
    if after > end:
        return OPAQUE, end, end
    return be16(data, at + 2), after, end
