"""Whether a steering rule matches a packet, in plain Python: what all back ends must agree with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from burstline.packet.tunnel import tunnel_id
from burstline.state.rule_match import matches as headers_match
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
    return headers_match(rule, pkt) and (rule.tunnel is None or _is_in(rule, pkt))


def _is_in(rule: SteeringRule, pkt: Any) -> bool:
    found = tunnel_id(rule.tunnel or "", pkt)
    return found is not None if rule.tunnel_id is None else found == rule.tunnel_id
