"""The parser with all built-in states, in plain Python; and the bits of what it finds."""

from __future__ import annotations

from burstline.native.words import Words
from burstline.packet.fields import OPAQUE, PRESENT
from burstline.packet.machine import Levels, Machine
from burstline.packet.machine import Parsed as Parsed
from burstline.packet.transitions import LINK_ETHERNET as LINK_ETHERNET
from burstline.packet.transitions import LINK_NULL as LINK_NULL
from burstline.packet.transitions import LINK_RAW as LINK_RAW
from burstline.packet.transitions import LINK_SLL as LINK_SLL
from burstline.packet.transitions import LINK_SLL2 as LINK_SLL2
from burstline.packet.transitions import LINK_UNKNOWN as LINK_UNKNOWN

ETH, VLAN, INNER_VLAN, ARP = PRESENT["eth"], PRESENT["vlan"], PRESENT["inner_vlan"], PRESENT["arp"]
IPV4, IPV6, TCP, UDP = PRESENT["ipv4"], PRESENT["ipv6"], PRESENT["tcp"], PRESENT["udp"]
ICMP, ICMPV6 = PRESENT["icmp"], PRESENT["icmpv6"]
ROUTING = PRESENT["ipv6_routing"]

BUILT_IN = Machine()


def parse_levels(data: Words, captured: int, link: int) -> Levels:
    """The packet itself, and what its tunnels carry: `captured` bytes that start with a link layer (`LINK_` number)."""
    return BUILT_IN.parse(data, captured, link)


def parse(data: Words, captured: int, link: int) -> Parsed:
    """The outer one of `parse_levels`."""
    return BUILT_IN.parse(data, captured, link).outer


def has_ports(present: int, proto: int, l4: int, end: int) -> bool:
    """The first four bytes at `l4` are ports: TCP, UDP, DCCP, SCTP and UDP-Lite (IANA protocol numbers)."""
    known = proto == 6 or proto == 17 or proto == 33 or proto == 132 or proto == 136
    return known and present & (IPV4 | IPV6) != 0 and present & OPAQUE == 0 and l4 + 4 <= end
