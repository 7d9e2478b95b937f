"""GTP-U, with extension headers: an IP packet of a mobile user."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state

USER_DATA = 255  # the message type G-PDU


@parser_state("gtpu", "tunnel", "tunnelled", "3GPP TS 29.281 clause 5.1 and 5.2")
def gtpu(data: Words, at: int, end: int) -> Step:
    """Version 1, protocol type GTP. Any of E, S and PN brings four bytes; with E, extensions follow whose length counts
    words of 4 bytes and whose last byte names the next one."""
    if at + 8 > end or be8(data, at) & 0xF0 != 0x30:
        return ABSENT, at, end
    end = min(end, at + 8 + be16(data, at + 2))
    flags = be8(data, at) & 7
    after = at + 8
    if flags:
        after += 4
        if after > end:
            return OPAQUE, end, end
        following = be8(data, after - 1) if flags & 4 else 0
        while following != 0 and after + 4 <= end:
            size = be8(data, after) * 4
            if size == 0 or after + size > end:
                return OPAQUE, after, end
            following = be8(data, after + size - 1)
            after += size
        if following != 0:
            return OPAQUE, after, end
    if be8(data, at + 1) != USER_DATA or after >= end:
        return OPAQUE, after, end
    version = be8(data, after) >> 4
    return 0x0800 if version == 4 else 0x86DD if version == 6 else OPAQUE, after, end
