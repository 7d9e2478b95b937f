"""Packets that begin with IP."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("raw", "link", "ip version", "tcpdump.org/linktypes.html, LINKTYPE_RAW")
def raw(data: Words, at: int, end: int) -> Step:
    if at + 1 > end:
        return ABSENT, at, end
    return be8(data, at) >> 4, at, end
