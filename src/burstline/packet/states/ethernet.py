"""Ethernet II, and 802.3 with a length in the place of the EtherType."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state

LLC = 0  # the key of an 802.3 frame: no EtherType is 0
LEAST_ETHERTYPE = 0x0600


@parser_state("eth", "link", "ethertype", "IEEE 802.3-2022 clause 3.2")
def ethernet(data: Words, at: int, end: int) -> Step:
    """Clause 3.2.6: from 0x0600 on it is a type, else the length of what follows, without padding."""
    if at + 14 > end:
        return ABSENT, at, end
    kind = be16(data, at + 12)
    if kind < LEAST_ETHERTYPE:
        return LLC, at + 14, min(end, at + 14 + kind)
    return kind, at + 14, end
