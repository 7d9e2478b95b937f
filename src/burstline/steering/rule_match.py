"""Whether a steering rule matches a packet, in plain Python: what all back ends must agree with."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from burstline.packet.tunnel import tunnel_id as tunnel_id
from burstline.steering.rule import SteeringRule


def first_match(rules: Iterable[SteeringRule], pkt: Any) -> SteeringRule | None:
    """The rule that decides over a packet."""
    return min((r for r in rules if matches(r, pkt)), key=lambda rule: rule.priority, default=None)


def matches(rule: SteeringRule, pkt: Any) -> bool:
    """Of a packet without a header, a rule that names a field of it matches nothing."""
    eth = pkt.eth
    for number, found in ((rule.src_mac, eth.src), (rule.dst_mac, eth.dst)):
        if number is not None and not (eth and found == number):
            return False
    if rule.vlan is not None and not (pkt.vlan and pkt.vlan.id == rule.vlan):
        return False
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
    return rule.tunnel is None or _is_in(rule, pkt)


def _is_in(rule: SteeringRule, pkt: Any) -> bool:
    found = tunnel_id(rule.tunnel or "", pkt)
    return found is not None if rule.tunnel_id is None else found == rule.tunnel_id
