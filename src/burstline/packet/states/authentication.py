"""The IP authentication header: what it protects can be read."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.extension import step_over
from burstline.packet.parser_state import ABSENT, Step, parser_state


@parser_state("ah", "extension", "next header behind AH", "RFC 4302 section 2")
def authentication(data: Words, at: int, end: int) -> Step:
    """Its length counts words of 4 bytes, less two (section 2.2)."""
    if at + 12 > end:
        return ABSENT, at, end
    return step_over(data, at, end, 4)
