"""VLAN tags, any number of them: 802.1Q, 802.1ad, and the old 0x9100."""

from __future__ import annotations

from burstline.native.words import Words, be16
from burstline.packet.parser_state import ABSENT, Step, parser_state
from burstline.packet.states.ethernet import LEAST_ETHERTYPE, LLC


@parser_state("vlan", "tag", "ethertype", "IEEE 802.1Q-2022 clause 9.5")
def vlan(data: Words, at: int, end: int) -> Step:
    """The tag's two bytes, then the next EtherType (or length, clause 9.4)."""
    if at + 4 > end:
        return ABSENT, at, end
    kind = be16(data, at + 2)
    if kind < LEAST_ETHERTYPE:
        return LLC, at + 4, min(end, at + 4 + kind)
    return kind, at + 4, end
