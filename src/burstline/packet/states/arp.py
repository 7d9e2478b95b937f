"""ARP for IPv4 over Ethernet."""

from __future__ import annotations

from burstline.native.words import Words, be16, be32
from burstline.packet.parser_state import ABSENT, OPAQUE, Step, parser_state


@parser_state("arp", "network", "", "RFC 826")
def arp(data: Words, at: int, end: int) -> Step:
    """Hardware 1 (Ethernet, 6 bytes), protocol 0x0800 (IPv4, 4 bytes); others are not looked into."""
    if at + 28 > end or be32(data, at) != 0x00010800 or be16(data, at + 4) != 0x0604:
        return ABSENT, at, end
    return OPAQUE, at + 28, end
