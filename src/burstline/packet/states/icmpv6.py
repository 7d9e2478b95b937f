"""ICMPv6, neighbour discovery and MLD included."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("icmpv6", "transport", "", "RFC 4443 section 2.1")
def icmpv6(data: Words, at: int, end: int) -> Step:
    if at + 8 > end:
        return ABSENT, at, end
    return OPAQUE, at + 8, end
