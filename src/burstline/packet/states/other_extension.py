"""IPv6 extension headers of the common form: mobility, HIP, shim6."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.extension import step_over
from burstline.packet.parser_state import Step, parser_state


@parser_state(
    "ipv6_other",
    "extension",
    "ipv6 next header",
    "RFC 6564 section 4; RFC 6275 section 6.1, RFC 7401 section 5.1, RFC 5533 section 5.1",
)
def other_extension(data: Words, at: int, end: int) -> Step:
    return step_over(data, at, end, 8)
