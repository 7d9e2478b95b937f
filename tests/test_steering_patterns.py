"""Steering rules as patterns: a NIC in software, which looks at the items' bytes, decides as the rules say."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.packet.machine import TunnelPorts
from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find, recorded
from burstline.steering.hardware.flow_device import FlowRule
from burstline.steering.hardware.items import LAYOUTS, Part, item, parts_of
from burstline.steering.hardware.pattern import BUDGET, patterns_of
from burstline.steering.hardware.reach import reached
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import matches
from packet_corpus import corpus
from steering_nic import DROPS, PACKETS, VIEWS, check, held, near, read
from steering_rules import random_steering_rule

ABLE = [name for name, driver in recorded().items() if driver.rules]


@pytest.mark.parametrize("driver", ABLE)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 32), st.integers(1, 8))
def test_a_nic_decides_as_the_rules_say(driver: str, seed: int, count: int) -> None:
    chance = random.Random(seed)
    rules = [near(chance) if chance.random() < 0.6 else random_steering_rule(chance) for _ in range(count)]
    nic, there = held(driver, rules)
    for number in chance.sample(range(len(PACKETS)), 150):
        check(nic, list(there.values()), PACKETS[number], VIEWS[number])


@pytest.mark.parametrize("driver", ABLE)
def test_what_matches_a_pattern_matches_the_rule_within_reach_or_not(driver: str) -> None:
    chance, matched, tried = random.Random(7), 0, 0
    for _ in range(2000):
        rule = near(chance) if chance.random() < 0.7 else random_steering_rule(chance)
        nic, there = held(driver, [rule])
        if not there:
            continue
        tried += 1
        for data, pkt in zip(PACKETS, VIEWS, strict=True):
            if nic.classify(data).handle:
                matched += 1
                assert matches(rule, pkt), (str(rule), data.hex())
        if tried == 20:
            break
    assert tried == 20
    assert matched > 20


def test_the_nic_in_software_takes_most_rules_and_reaches_most_packets() -> None:
    chance = random.Random(1)
    rules = [random_steering_rule(chance) for _ in range(200)]
    taken = 0
    for rule in rules:
        with contextlib.suppress(CannotSteer):
            taken += bool(patterns_of(rule, find("model")))
    assert taken > 190
    within = sum(reached(find("model"), pkt) for pkt in VIEWS)
    assert within > len(VIEWS) / 2
    assert all(reached(find("model"), read(corpus()[name])) for name in ("ipv4 tcp", "ipv6 udp in a vlan", "arp"))


def test_each_pattern_of_a_rule_matches_packets_that_no_other_does() -> None:
    chance = random.Random(3)
    for _ in range(60):
        rule = random_steering_rule(chance)
        patterns = patterns_of(rule, find("model"), budget=10_000)
        assert len({pattern.items for pattern in patterns}) == len(patterns)
        for data in chance.sample(PACKETS, 40):
            hits = 0
            for pattern in patterns:
                nic = NicModel("model")
                nic.create(FlowRule(pattern.items, DROPS, 0))
                hits += nic.classify(data).handle != 0
            assert hits <= 1


def rule(**given_: Any) -> SteeringRule:
    return SteeringRule(**{"to": "queue 1", **given_})


@pytest.mark.parametrize(
    ("driver", "given_", "field", "says"),
    [
        ("net_null", {"proto": "tcp"}, "to", "net_null has no rte_flow rules"),
        ("net_unheard_of", {"proto": "tcp"}, "to", "net_unheard_of has no rte_flow rules"),
        ("net_tap", {"dport": 80}, "proto", "the rule means SCTP, too"),
        ("net_tap", {"proto": "tcp", "dport": "80-443"}, "dport", "matches single ports"),
        ("net_tap", {"vlan": 16, "src": "10.0.0.0/8"}, "vlan", "takes 1 to 15 for vid of VLAN, not 16"),
        ("net_tap", {"vlan": 5}, "vlan", "cannot end with VLAN"),
        ("net_tap", {"flags": "S/SA"}, "flags", "does not match flags of TCP"),
        ("net_tap", {"tunnel": "vxlan"}, "tunnel", "matches no vxlan"),
        ("net_tap", {"proto": "udp", "mark": 3}, "mark", "marks no packets"),
        ("net_tap", {"proto": "udp", "count": True}, "count", "counts no packets"),
        ("net_tap", {"proto": "udp", "to": "cores 0, 1"}, "to", "has no action RSS"),
        ("net_tap", {"proto": "udp", "to": "rss"}, "to", "leaves packets to RSS"),
        ("net_ixgbe", {"proto": "tcp", "dport": 80}, "src", "matches no IPv6, which the rule means, too"),
        ("net_ixgbe", {"src": "10.0.0.0/8", "proto": "tcp"}, "proto", "matches TCP with a port only"),
        ("net_ixgbe", {"src": "10.0.0.0/8", "mark": 3}, "mark", "marks no packets"),
        ("net_mlx5", {"src": "10.0.0.0/8", "mark": 0xFFFFF0}, "mark", "marks with numbers up to 16,777,199"),
        ("net_i40e", {"src": "10.0.0.0/8"}, "src", "matches whole addresses"),
        ("net_i40e", {"src_mac": 5}, "src_mac", "does not match src of ETH"),
        ("net_ice", {"proto": "tcp"}, "proto", "refuses a pattern that compares nothing"),
        ("net_ice", {"dport": 80, "to": "cores 0, 2"}, "to", "spreads over neighbouring queues only"),
        ("net_bnxt", {"src": "10.0.0.1", "proto": "tcp", "sport": 1, "dport": 2}, "dst", "together only"),
        ("net_e1000_igb", {"proto": "tcp", "dport": 80, "src": "10.0.0.1"}, "src", "does not match src of IPV4"),
        ("net_mlx5", {"tunnel": "vxlan", "tunnel_id": 0}, "tunnel_id", "takes 1 to 16,777,215 for vni"),
        ("net_mlx5", {"proto": "tcp", "sport": "1-65534", "dport": "1-65534"}, "sport", "takes 1,800 rules"),
        ("model", {"proto": 51}, "proto", "NICs see the first and rules mean the last"),
        ("model", {"src": "2001:db8::/32", "proto": 43}, "proto", "NICs see the first and rules mean the last"),
        ("model", {"tunnel": "vxlan", "dport": 1000}, "dport", "at the destination port 4789 alone"),
        ("model", {"to": "queue 4"}, "to", "there is no queue 4"),
    ],
)  # fmt: skip
def test_what_a_driver_cannot_do_names_the_field(driver: str, given_: dict[str, Any], field: str, says: str) -> None:
    back_end = RteFlow(NicModel(driver))
    with pytest.raises(CannotSteer) as raised:
        back_end.add(rule(**given_))
    assert raised.value.field == field
    assert raised.value.message.startswith(f"{field}: ")
    assert says in raised.value.message
    assert raised.value.hint
    assert back_end.used == 0


def test_tunnels_at_other_ports_are_not_those_of_hardware() -> None:
    with pytest.raises(CannotSteer, match=r"\[parser\] finds vxlan at other ports than 4789"):
        patterns_of(rule(tunnel="vxlan"), find("model"), ports=TunnelPorts(vxlan=(4789, 8472)))


def test_what_rules_take() -> None:
    def kinds(driver: str, **given_: Any) -> list[str]:
        return ["/".join(i.kind for i in p.items) for p in patterns_of(rule(**given_), find(driver))]

    assert kinds("net_mlx5", src="10.0.0.0/8", proto="tcp") == ["ETH/IPV4/TCP"]
    assert kinds("net_mlx5", proto="udp") == ["ETH/IPV4/UDP", "ETH/IPV6/UDP"]
    assert kinds("net_tap", src="10.0.0.0/8") == ["ETH/IPV4", "ETH/VLAN/IPV4"]
    assert kinds("net_ice", src="10.0.0.1") == ["ETH/IPV4", "ETH/IPV4/TCP", "ETH/IPV4/UDP", "ETH/IPV4/SCTP"]
    assert kinds("net_igc", proto="tcp", dport=80) == ["ETH/IPV4/TCP"]
    assert kinds("net_mlx5", tunnel="gre", tunnel_id=7, src="::/0") == ["ETH/IPV6/GRE/GRE_KEY"]
    assert kinds("model") == ["ETH"]
    assert len(patterns_of(rule(dport="80-443"), find("model"))) == 2 * 3 * 3
    assert len(patterns_of(rule(src="0.0.0.0/0", proto="tcp", dport="80-443"), find("net_mlx5"))) == 8
    assert max(len(patterns_of(rule(dport="1-65534", proto="tcp"), find("net_mlx5"))), 1) == 60 <= BUDGET


def test_items_hold_what_they_are_made_of() -> None:
    made = item("IPV4", {"src": Part(0x0A000000, 0xFF000000), "proto": Part(6, 255)})
    assert (made.spec, made.last) == (bytes(9) + b"\x06" + bytes(2) + b"\x0a" + bytes(7), b"")
    assert made.mask == bytes(9) + b"\xff" + bytes(2) + b"\xff" + bytes(7)
    assert parts_of(made) == {"src": Part(0x0A000000, 0xFF000000), "proto": Part(6, 255)}
    ranged = item("UDP", {"dport": Part(80, 0xFFFF, 443), "sport": Part(7, 0xFFFF)})
    assert (ranged.spec[:4], ranged.last[:4]) == (b"\0\x07\0\x50", b"\0\x07\x01\xbb")
    assert item("VLAN", {"more": Part(1, 1)}).spec == bytes(4) + b"\x01" + bytes(3)
    assert {kind: len(item(kind, {next(iter(LAYOUTS[kind].fields)): Part(1, 1)}).spec) for kind in LAYOUTS} == {
        kind: layout.size for kind, layout in LAYOUTS.items()
    }
