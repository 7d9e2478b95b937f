"""GRE with all its optional words, and the enhanced GRE of PPTP."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16, be32
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("gre", "transport", "tunnelled", "RFC 2784 and 2890 section 2, RFC 1701, RFC 2637 section 4.1")
def gre(data: Words, at: int, end: int) -> Step:
    """Checksum and routing share a word (RFC 1701); version 1 always has a key, and may acknowledge."""
    if at + 4 > end:
        return ABSENT, at, end
    flags = be16(data, at)
    kind = be16(data, at + 2)
    version = flags & 7
    after = at + 4
    if version == 0:
        if flags & 0xC000:
            after += 4
        after += (flags >> 11 & 4) + (flags >> 10 & 4)  # key, sequence number
        if flags & 0x4000:  # source routes end with one of family and length 0
            more = True
            while more and after + 4 <= end:
                more = be32(data, after) & 0xFFFF00FF != 0
                after += 4 + be8(data, after + 3)
            if more:
                return OPAQUE, min(after, end), end
    elif version == 1:
        after += 4 + (flags >> 10 & 4) + (flags >> 5 & 4)  # key, sequence number, acknowledgement
    else:
        return OPAQUE, after, end
    if after > end:
        return OPAQUE, end, end
    return kind, after, end
