"""Which packets a NIC sees as burstline's parser does.

rte_flow says which headers a packet must have, not how far a NIC looks for them. Taken for granted is what all of them
parse: Ethernet, as many VLAN tags as the driver has items for, IPv4 or IPv6, and right behind it TCP, UDP, SCTP, GRE or
a tunnel at its own UDP port. The parser goes farther: through MPLS, PPPoE, LLC, extension headers of IPv6 and AH, and
it finds the ports of a fragmented packet's first fragment. What is farther no NIC is relied on to match, nor a packet
that ends within these headers.
"""

from __future__ import annotations

from typing import Any

from burstline.packet.machine import USUAL_PORTS
from burstline.state.rule import WITH_PORTS
from burstline.steering.hardware.driver import HardwareDriver

BETWEEN = ("llc", "snap", "mpls", "pppoe")  # Ethernet and IP
BEHIND = ("ipv6_hopopts", "ipv6_routing", "ipv6_fragment", "ipv6_dstopts")
ETHERNET, TAG = 14, 4  # bytes


def reached(driver: HardwareDriver, pkt: Any) -> bool:
    """Whether patterns that stand for a rule match this packet exactly where the rule does."""
    if not pkt.eth or pkt.is_fragment:
        return False
    header = pkt.ipv4 or pkt.ipv6
    tags = pkt.vlan_depth
    if tags and not all(_tpid(pkt, k) in driver.tpids for k in range(tags)):
        return False
    if not header:
        return True
    if any(getattr(pkt, name) for name in BETWEEN + BEHIND):
        return False
    if tags > driver.tags and not driver.tagged_too and not driver.more_vlan:
        return False
    if driver.ip_alike and pkt.ipv6:
        return False
    first = pkt.ipv4.proto if pkt.ipv4 else pkt.ipv6.next_header
    if first != pkt.proto:  # an extension header
        return False
    if pkt.proto in WITH_PORTS and not (pkt.tcp or pkt.udp or pkt.sctp):  # cut short
        return False
    tunnel = next((name for name in ("vxlan", "geneve", "gtpu") if getattr(pkt, name)), None)
    if tunnel and pkt.udp.dport != getattr(USUAL_PORTS, tunnel)[0]:  # found by its source port
        return False
    # Of a packet in a tunnel, NICs that class packets by protocol may class what is inside.
    return not (driver.other_protocols and (tunnel or pkt.gre))


def _tpid(pkt: Any, number: int) -> int:
    at = ETHERNET - 2 + TAG * number
    return int.from_bytes(pkt._data[at : at + 2], "big")
