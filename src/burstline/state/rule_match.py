"""Whether a rule matches a packet, in plain Python: what interpreted stages ask, and what tests compare with."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from burstline.state.rule import HeaderMatch


def matches(rule: HeaderMatch, pkt: Any) -> bool:
    """Of a packet without a header, a rule that names a field of it matches nothing."""
    header = pkt.ipv4 or pkt.ipv6
    for network, address in ((rule.src, header.src), (rule.dst, header.dst)):
        if network is None:
            continue
        right = pkt.ipv4 if isinstance(network, IPv4Network) else pkt.ipv6 if isinstance(network, IPv6Network) else None
        if not right or address not in network:
            return False
    if rule.proto is not None and not (header and pkt.proto == rule.proto):
        return False
    with_ports = pkt.tcp or pkt.udp or pkt.sctp
    for ports, port in ((rule.sport, with_ports.sport), (rule.dport, with_ports.dport)):
        if ports is not None and not (with_ports and ports[0] <= port <= ports[1]):
            return False
    if rule.flags is not None and not (pkt.tcp and pkt.tcp.flags & rule.flags[1] == rule.flags[0]):
        return False
    return rule.vlan is None or bool(pkt.vlan and pkt.vlan.id == rule.vlan)
