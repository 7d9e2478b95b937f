"""VXLAN: an Ethernet frame behind 8 bytes."""

from __future__ import annotations

from burstline.native.words import Words, be8
from burstline.packet.parser_state import ABSENT, Step, parser_state

ETHERNET = 0x6558  # "Transparent Ethernet Bridging", RFC 1701


@parser_state("vxlan", "tunnel", "tunnelled", "RFC 7348 section 5")
def vxlan(data: Words, at: int, end: int) -> Step:
    """Without flag I there is no VNI, and the packet is none of VXLAN."""
    if at + 8 > end or be8(data, at) & 8 == 0:
        return ABSENT, at, end
    return ETHERNET, at + 8, end
