"""A PPPoE session, and the number of the PPP protocol in it."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("pppoe", "shim", "ppp", "RFC 2516 section 4 and 6")
def pppoe(data: Words, at: int, end: int) -> Step:
    """Version 1, type 1, code 0 is session data; its length counts from the PPP protocol (RFC 1661 section 2) on."""
    if at + 8 > end:
        return ABSENT, at, end
    end = min(end, max(at + 6 + be16(data, at + 4), at + 8))
    return be16(data, at + 6) if be16(data, at) == 0x1100 else OPAQUE, at + 8, end
