"""Where each header lies, from what the parser found. Compiled views go by the same table."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.extension import EXTENSION_PROTO, find_extension
from burstline.packet.machine import Parsed

# Header -> the column that it is found by, bytes added, and the column of a count of four bytes each, with its sign.
PLACES: dict[str, tuple[str, int, str, int]] = {
    "eth": ("l2", 0, "", 0),
    "vlan": ("l2", 14, "", 0),
    "inner_vlan": ("l2", 18, "", 0),
    "llc": ("l2", 14, "vlan_depth", 1),
    "snap": ("l2", 17, "vlan_depth", 1),
    "mpls": ("l3", 0, "mpls_depth", -1),
    "inner_mpls": ("l3", 4, "mpls_depth", -1),
    "pppoe": ("l3", -8, "mpls_depth", -1),
    **dict.fromkeys(("arp", "ipv4", "ipv6"), ("l3", 0, "", 0)),
    **dict.fromkeys(("tcp", "udp", "sctp", "icmp", "icmpv6", "igmp", "esp", "gre"), ("l4", 0, "", 0)),
    **dict.fromkeys(("vxlan", "geneve", "gtpu"), ("l4", 8, "", 0)),  # behind UDP
}


def columns_for(name: str) -> tuple[str, ...]:
    """The columns that say where a header lies."""
    if name in EXTENSION_PROTO:
        return ("l3", "end")
    column, _, count, _ = PLACES[name]
    return (column, count) if count else (column,)


def place_of(name: str, data: Words, found: Parsed) -> int:
    """Offset of a header that is present; -1 for one that stages have hidden by what they wrote."""
    if name in EXTENSION_PROTO:
        return find_extension(data, found.l3, found.end, EXTENSION_PROTO[name])
    column, added, count, sign = PLACES[name]
    at: int = getattr(found, column) + added
    return at + 4 * sign * getattr(found, count) if count else at
