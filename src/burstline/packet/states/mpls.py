"""An MPLS label; the bottom of the stack does not say what it carries."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state

ANOTHER = 16  # the key of one more label: no IP version


@parser_state("mpls", "label", "label", "RFC 3032 section 2.1")
def mpls(data: Words, at: int, end: int) -> Step:
    """Behind the bottom of the stack the first four bits tell IPv4 and IPv6 from all else (RFC 4928 section 3)."""
    if at + 4 > end:
        return ABSENT, at, end
    if be8(data, at + 2) & 1 == 0:
        return ANOTHER, at + 4, end
    return be8(data, at + 4) >> 4 if at + 4 < end else OPAQUE, at + 4, end
