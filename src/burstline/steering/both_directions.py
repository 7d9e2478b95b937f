"""The rule for what comes back."""

from __future__ import annotations

from dataclasses import fields

from burstline.steering.rule import SteeringRule

SIDES = {"src": "dst", "dst": "src", "sport": "dport", "dport": "sport", "src_mac": "dst_mac", "dst_mac": "src_mac"}


def reversed_rule(rule: SteeringRule) -> SteeringRule:
    """The same with both sides exchanged: addresses, ports and MAC addresses. TCP flags stay as they are."""
    made = SteeringRule.__new__(SteeringRule)
    for field in fields(SteeringRule):
        object.__setattr__(made, field.name, getattr(rule, SIDES.get(field.name, field.name)))
    return made
