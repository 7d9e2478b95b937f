"""Steering rules at random, near the packets of `test_rule_set.packets()` and of the corpus."""

from __future__ import annotations

import ipaddress
import random
from typing import Any

from burstline.steering.rule import WITH_PORTS, SteeringRule
from packet_corpus import ETHER
from test_rule_set import V4, V6, random_rule

TARGETS = ("queue 0", "queue 1", "queue 3", "core 2", "cores 1, 3", "cores 0, 1, 2", "drop", "rss")
TUNNEL_IDS = (0, 1, 7, 42, 100, 0x123456, 0x12345678)


def fields(chance: random.Random) -> dict[str, Any]:
    """What a rule matches."""
    given: dict[str, Any] = {k: v for k, v in random_rule(chance).items() if k != "value"}
    for side in ("src", "dst"):
        if side in given:
            given[side] = str(ipaddress.ip_network(given[side], strict=False))
    if chance.random() < 0.1:
        given["dst_mac"] = chance.choice((ETHER["dst"], "00:00:00:00:00:00"))
    if chance.random() < 0.1:
        given["src_mac"] = chance.choice((ETHER["src"], "00:00:00:00:00:00"))
    if chance.random() < 0.15 and not {"flags", "sport", "dport"} & given.keys():
        given["tunnel"], given["proto"] = chance.choice(("vxlan", "geneve", "gtpu", "gre")), ""
        if chance.random() < 0.5:
            given["tunnel_id"] = chance.choice(TUNNEL_IDS[: 6 if given["tunnel"] in ("vxlan", "geneve") else 7])
    return given


def actions(chance: random.Random, *, counts: bool = True) -> dict[str, Any]:
    return {
        "to": chance.choice(TARGETS),
        "priority": chance.choice((0, 0, 1, 5)),
        "mark": chance.choice((None, None, 1, 77, (1 << 24) - 2)),
        "count": counts and chance.random() < 0.5,
    }


def random_steering_rule(chance: random.Random) -> SteeringRule:
    return SteeringRule(**fields(chance), **actions(chance))


def exact_rule(chance: random.Random, pkt: Any) -> SteeringRule | None:
    """One for a packet's flow, of its own five fields; None where it is of none."""
    header, ports = pkt.ipv4 or pkt.ipv6, pkt.tcp or pkt.udp or pkt.sctp
    if not header or not ports or pkt.proto not in WITH_PORTS:
        return None
    return SteeringRule(
        src=str(header.src), dst=str(header.dst), proto=pkt.proto, sport=ports.sport, dport=ports.dport,
        **actions(chance),
    )  # fmt: skip


__all__ = ["V4", "V6", "actions", "exact_rule", "fields", "random_steering_rule"]
