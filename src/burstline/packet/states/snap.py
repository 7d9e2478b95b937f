"""SNAP behind LLC: an organisation, and its protocol, which is an EtherType where the organisation is 0."""

from __future__ import annotations

from burstline.native.words import Words, be16, be32
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state
from burstline.packet.states.ethernet import LEAST_ETHERTYPE


@parser_state("snap", "shim", "ethertype", "RFC 1042, Header Format; IEEE 802-2014 clause 9.5")
def snap(data: Words, at: int, end: int) -> Step:
    """Below 0x0600 there is no EtherType: 0 would lead back to LLC."""
    if at + 5 > end:
        return ABSENT, at, end
    kind = be16(data, at + 3)
    return kind if be32(data, at) >> 8 == 0 and kind >= LEAST_ETHERTYPE else OPAQUE, at + 5, end
