"""SCTP's common header; chunks are payload."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("sctp", "transport", "sctp port", "RFC 9260 section 3.1")
def sctp(data: Words, at: int, end: int) -> Step:
    if at + 12 > end:
        return ABSENT, at, end
    return be16(data, at + 2) | be16(data, at) << 16, at + 12, end
