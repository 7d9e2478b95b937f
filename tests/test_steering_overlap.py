"""Whether two rules may match one packet."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.steering.overlap import overlap
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import matches
from steering_nic import VIEWS, near
from steering_rules import random_steering_rule


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_rules_that_a_packet_matches_both_of_overlap(seed: int) -> None:
    chance = random.Random(seed)
    one, other = (near(chance) if chance.random() < 0.5 else random_steering_rule(chance) for _ in range(2))
    assert overlap(one, other) == overlap(other, one)
    if not overlap(one, other):
        assert not any(matches(one, pkt) and matches(other, pkt) for pkt in VIEWS)


def test_rules_that_exclude_each_other_do_not_overlap() -> None:
    def rule(**given: Any) -> SteeringRule:
        return SteeringRule(**given)

    apart = [
        ({"src": "10.0.0.0/9"}, {"src": "10.128.0.0/9"}), ({"proto": "tcp"}, {"proto": "udp"}),
        ({"dport": "1-79"}, {"dport": "80"}), ({"flags": "S/SA"}, {"flags": "A/A"}), ({"vlan": 1}, {"vlan": 2}),
        ({"src": "::/0"}, {"dst": "10.0.0.1"}), ({"proto": "icmp"}, {"dport": 80}), ({"src_mac": 1}, {"src_mac": 2}),
        ({"tunnel": "gre"}, {"tunnel": "vxlan"}),
        ({"tunnel": "gtpu", "tunnel_id": 1}, {"tunnel": "gtpu", "tunnel_id": 2}),
    ]  # fmt: skip
    for one, other in apart:
        assert not overlap(rule(**one), rule(**other))
    assert overlap(rule(src="10.0.0.0/8"), rule(dst="10.0.0.0/8"))
