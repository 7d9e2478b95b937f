"""Linux's cooked captures, version 1."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state
from burstline.packet.states.ethernet import LEAST_ETHERTYPE


@parser_state("sll", "link", "ethertype", "tcpdump.org/linktypes/LINKTYPE_LINUX_SLL.html")
def sll(data: Words, at: int, end: int) -> Step:
    """Below 0x0600 are numbers of Linux's own, 802.2 among them."""
    if at + 16 > end:
        return ABSENT, at, end
    kind = be16(data, at + 14)
    return kind if kind >= LEAST_ETHERTYPE else OPAQUE, at + 16, end
