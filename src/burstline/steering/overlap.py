"""Whether two steering rules may match the same packet."""

from __future__ import annotations

from burstline.state.rule import WITH_PORTS, Network
from burstline.steering.rule import SteeringRule


def overlap(one: SteeringRule, other: SteeringRule) -> bool:
    """False only where no packet matches both."""
    for name in ("src_mac", "dst_mac", "vlan"):
        if _differ(getattr(one, name), getattr(other, name)):
            return False
    if _differ(one.version, other.version) or not _transports(one) & _transports(other):
        return False
    if not all(_meet(getattr(one, name), getattr(other, name)) for name in ("src", "dst")):
        return False
    for name in ("sport", "dport"):
        a, b = getattr(one, name), getattr(other, name)
        if a and b and (a[1] < b[0] or b[1] < a[0]):
            return False
    if one.flags and other.flags and (one.flags[0] ^ other.flags[0]) & one.flags[1] & other.flags[1]:
        return False
    return one.tunnel != other.tunnel or not _differ(one.tunnel_id, other.tunnel_id)


def _differ(one: int | None, other: int | None) -> bool:
    return one is not None and other is not None and one != other


def _meet(one: Network | None, other: Network | None) -> bool:
    return one is None or other is None or (one.version == other.version and one.overlaps(other))


_ALL = frozenset(range(256))


def _transports(rule: SteeringRule) -> frozenset[int]:
    """The IP protocols of packets that it matches."""
    if rule.proto is not None:
        return frozenset({rule.proto})
    if rule.flags:
        return frozenset({6})
    if rule.tunnel:
        return frozenset({47 if rule.tunnel == "gre" else 17})
    return frozenset(WITH_PORTS) if rule.sport or rule.dport else _ALL
