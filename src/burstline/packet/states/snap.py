"""SNAP behind LLC: an organisation, and its protocol, which is an EtherType where the organisation is 0."""

from __future__ import annotations

from burstline.native.words import Words, be16, be32
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("snap", "shim", "ethertype", "RFC 1042, Header Format; IEEE 802-2014 clause 9.5")
def snap(data: Words, at: int, end: int) -> Step:
    if at + 5 > end:
        return ABSENT, at, end
    return be16(data, at + 3) if be32(data, at) >> 8 == 0 else OPAQUE, at + 5, end
