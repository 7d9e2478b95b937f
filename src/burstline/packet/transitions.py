"""The parser as data: which states there are, and which key of which table leads from one to the next.

A state's selector is looked up in the table that the state `selects`; a key that is not there ends the parsing. Where
a table's keys are ports, the destination's is looked up first, then the source's. A step that `enters_tunnel` begins
what follows: a packet of its own, the *inner* one.
"""

from __future__ import annotations

from collections.abc import Mapping

from burstline.packet.parser_state import ParserState
from burstline.packet.states import (
    arp,
    authentication,
    destination_options,
    esp,
    ethernet,
    fragment,
    geneve,
    gre,
    gtpu,
    hop_by_hop,
    icmp,
    icmpv6,
    igmp,
    ipv4,
    ipv6,
    llc,
    mpls,
    null,
    other_extension,
    pppoe,
    raw,
    routing,
    sctp,
    sll,
    sll2,
    snap,
    tcp,
    udp,
    vlan,
    vxlan,
)

Table = Mapping[int, str]  # key -> name of the next state

STATES: dict[str, ParserState] = {
    state.name: state
    for state in (
        ethernet.ethernet, raw.raw, sll.sll, sll2.sll2, null.null, vlan.vlan, llc.llc, snap.snap, mpls.mpls,
        pppoe.pppoe, arp.arp, ipv4.ipv4, ipv6.ipv6, hop_by_hop.hop_by_hop, routing.routing, fragment.fragment,
        destination_options.destination_options, authentication.authentication, other_extension.other_extension,
        tcp.tcp, udp.udp, sctp.sctp, icmp.icmp, icmpv6.icmpv6, igmp.igmp, esp.esp, gre.gre, vxlan.vxlan,
        geneve.geneve, gtpu.gtpu,
    )
}  # fmt: skip

# The state that a packet of each link layer begins in, by LINK_ number.
LINK_ETHERNET, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_NULL, LINK_UNKNOWN = range(6)
LINKS = {LINK_ETHERNET: "eth", LINK_RAW: "raw", LINK_SLL: "sll", LINK_SLL2: "sll2", LINK_NULL: "null"}

_IP = {
    6: "tcp",
    17: "udp",
    47: "gre",
    50: "esp",
    51: "ah",
    132: "sctp",
    4: "ipv4",  # RFC 2003
    41: "ipv6",  # RFC 4213
}  # IANA, Assigned Internet Protocol Numbers
_EXTENSIONS = {
    0: "ipv6_hopopts",
    43: "ipv6_routing",
    44: "ipv6_fragment",
    60: "ipv6_dstopts",
    135: "ipv6_other",
    139: "ipv6_other",
    140: "ipv6_other",
}  # IANA, IPv6 Extension Header Types

TABLES: dict[str, Table] = {
    "ethertype": {
        ethernet.LLC: "llc",
        0x0800: "ipv4",
        0x0806: "arp",
        0x8100: "vlan",
        0x86DD: "ipv6",
        0x8847: "mpls",
        0x8848: "mpls",
        0x8864: "pppoe",
        0x88A8: "vlan",
        0x9100: "vlan",
    },
    "sap": {0xAAAA: "snap"},
    "label": {4: "ipv4", 6: "ipv6", mpls.ANOTHER: "mpls"},
    "ppp": {0x0021: "ipv4", 0x0057: "ipv6", 0x0281: "mpls"},  # IANA, PPP DLL Protocol Numbers
    "ip version": {4: "ipv4", 6: "ipv6"},
    "ipv4 protocol": {**_IP, 1: "icmp", 2: "igmp"},
    "ipv6 next header": {**_IP, **_EXTENSIONS, 58: "icmpv6"},
    "next header behind AH": {**_IP, **_EXTENSIONS, 1: "icmp", 2: "igmp", 58: "icmpv6"},
    "tunnelled": {
        0x0800: "ipv4",
        0x0806: "arp",
        0x6558: "eth",
        0x8100: "vlan",
        0x86DD: "ipv6",
        0x8847: "mpls",
        0x8848: "mpls",
        0x88A8: "vlan",
    },
    "tcp port": {},
    "udp port": {},  # `machine.py` adds those of tunnels
    "sctp port": {},
}

PORTS = frozenset({"tcp port", "udp port", "sctp port"})
IN_UDP = {"vxlan": (4789,), "geneve": (6081,), "gtpu": (2152,)}  # IANA, Service Name and Port Number Registry


def enters_tunnel(table: str, target: str) -> bool:
    """Whether this step begins an inner packet."""
    return table == "tunnelled" or (
        table in ("ipv4 protocol", "ipv6 next header", "next header behind AH") and target in ("ipv4", "ipv6")
    )
