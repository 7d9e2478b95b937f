"""BSD's loopback encapsulation."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("null", "link", "ip version", "tcpdump.org/linktypes.html, LINKTYPE_NULL")
def null(data: Words, at: int, end: int) -> Step:
    """The address family is in the byte order of whoever captured, and IPv6 has a number per system: IP's own version
    tells as much."""
    if at + 5 > end:
        return ABSENT, at, end
    return be8(data, at + 4) >> 4, at + 4, end
