"""IPv6 destination options."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.extension import step_over
from burstline.packet.parser_state import Step, parser_state


@parser_state("ipv6_dstopts", "extension", "ipv6 next header", "RFC 8200 section 4.6")
def destination_options(data: Words, at: int, end: int) -> Step:
    return step_over(data, at, end, 8)
