"""IPv4, with options; a fragment after the first one holds no header of what it is a piece of."""

from __future__ import annotations

from burstline.native.words import Words, be8, be16
from burstline.packet.parser_state import ABSENT, FRAGMENTED, OPAQUE, Step, parser_state


@parser_state("ipv4", "network", "ipv4 protocol", "RFC 791 section 3.1")
def ipv4(data: Words, at: int, end: int) -> Step:
    """A total length of 0 is that of a packet that the sender's NIC was still to segment."""
    if at + 20 > end or be8(data, at) >> 4 != 4:
        return ABSENT, at, end
    size = (be8(data, at) & 15) * 4
    total = be16(data, at + 2)
    if total != 0:
        end = min(end, at + total)
    selector = be8(data, at + 9)
    piece = be16(data, at + 6) & 0x3FFF  # "more fragments", and the offset
    if piece:
        selector |= FRAGMENTED
    if size < 20 or at + size > end or piece & 0x1FFF:
        return selector | OPAQUE, min(at + max(size, 20), end), end
    return selector, at + size, end
