"""Linux's cooked captures, version 2."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state
from burstline.packet.states.ethernet import LEAST_ETHERTYPE


@parser_state("sll2", "link", "ethertype", "tcpdump.org/linktypes/LINKTYPE_LINUX_SLL2.html")
def sll2(data: Words, at: int, end: int) -> Step:
    if at + 20 > end:
        return ABSENT, at, end
    kind = be16(data, at)
    return kind if kind >= LEAST_ETHERTYPE else OPAQUE, at + 20, end
