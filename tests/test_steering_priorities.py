"""Priorities in hardware: which rule decides, however few levels there are."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.steering.back_end import CannotSteer
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.reach import reached
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from steering_nic import PACKETS, VIEWS, flow
from steering_rules import random_steering_rule


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 32))
def test_rules_decide_by_priority_then_in_their_order_however_they_came(seed: int) -> None:
    chance = random.Random(seed)
    nic = NicModel("model")
    back_end, there = RteFlow(nic, budget=1000), dict[int, SteeringRule]()
    for _ in range(25):
        if there and chance.random() < 0.3:
            gone = chance.choice(list(there))
            back_end.remove(gone)
            del there[gone]
            continue
        rule = random_steering_rule(chance)
        try:
            there[back_end.add(rule)] = rule
        except CannotSteer as error:
            assert error.field in ("proto", "dport")
    assert back_end.rules() == there
    for number in chance.sample(range(len(PACKETS)), 100):
        if reached(nic.personality, VIEWS[number]):
            found, rule = nic.classify(PACKETS[number]), first_match(list(there.values()), VIEWS[number])
            assert (found.handle != 0) == (rule is not None)
            if rule is not None:
                assert (found.queue is None) == (str(rule.to) == "drop")
                assert found.queue is None or found.mark == rule.mark


def test_levels_are_made_room_for_and_counts_survive() -> None:
    nic = NicModel("net_mlx5")
    back_end = RteFlow(nic)
    low = back_end.add(SteeringRule(src="10.0.0.0/8", to="queue 1", count=True, priority=5))
    middle = back_end.add(flow(1, to="queue 2", count=True, priority=3))
    packet = next(d for d, p in zip(PACKETS, VIEWS, strict=True) if p.ipv4 and str(p.ipv4.src).startswith("10."))
    nic.classify(packet)
    counted = back_end.counts()
    assert counted[low][0] == 1
    with pytest.raises(CannotSteer, match=r"is the last of 3 rules that overlap each other, and net_mlx5 has 2 levels"):
        back_end.add(SteeringRule(dst="10.2.0.0/16", to="drop"))
    assert back_end.counts() == counted
    back_end.remove(middle)
    back_end.add(SteeringRule(dst="10.2.0.0/16", to="drop"))
    assert back_end.counts()[low] == counted[low]
    assert {entry.handle for entry in nic.table().entries}


def test_without_priorities_rules_that_overlap_are_refused() -> None:
    back_end = RteFlow(NicModel("net_ice"))
    back_end.add(flow(1))
    with pytest.raises(CannotSteer) as raised:
        back_end.add(SteeringRule(dst="10.2.0.1", to="queue 2", priority=3))
    assert raised.value.field == "priority"
    assert "net_ice cannot tell which comes first" in raised.value.message
    assert "'dst 10.2.0.1/32 -> queue 2' overlaps 'src 10.1.0.1/32" in raised.value.message
    back_end.add(SteeringRule(dst="10.2.0.2", to="queue 2", priority=3))


def test_where_the_highest_number_decides_levels_are_turned_around() -> None:
    nic = NicModel("net_e1000_igb")
    back_end = RteFlow(nic)
    back_end.add(SteeringRule(proto="tcp", dport=80, to="queue 1", priority=9))
    back_end.add(SteeringRule(proto="tcp", dport=80, to="queue 2", priority=1))
    back_end.add(SteeringRule(proto="tcp", dport=80, to="queue 3", priority=4))
    assert [entry.actions[0].number for entry in nic.table().entries] == [2, 3, 1]
    assert len({held.rule.priority for held in nic._entries.values()}) == 3


def test_tagged_and_other_rules_do_not_share_a_level_of_tc() -> None:
    nic = NicModel("net_tap")
    RteFlow(nic).apply([flow(n) for n in range(20)])
    levels: dict[int, set[bool]] = {}
    for held in nic._entries.values():
        levels.setdefault(held.rule.priority, set()).add(any(i.kind == "VLAN" for i in held.rule.items))
    assert len(levels) == 2
    assert all(len(kinds) == 1 for kinds in levels.values())


def test_drivers_with_one_mask_refuse_another() -> None:
    ixgbe = RteFlow(NicModel("net_ixgbe"))
    ixgbe.add(SteeringRule(src="10.0.0.0/8", proto="udp", dport=80, to="queue 1"))
    ixgbe.add(SteeringRule(src="11.0.0.0/8", proto="tcp", dport=81, to="queue 1"))
    with pytest.raises(CannotSteer) as raised:
        ixgbe.add(SteeringRule(src="12.0.0.0/16", proto="tcp", dport=81, to="queue 1"))
    assert raised.value.field == "src"
    assert "the same fields and bits in all rules of the port: dport, src" in raised.value.message
    ixgbe.apply([SteeringRule(src="12.0.0.0/16", proto="tcp", dport=81, to="queue 1")])
    i40e = RteFlow(NicModel("net_i40e"))
    i40e.add(flow(1))
    i40e.add(SteeringRule(src="10.0.0.1", proto="tcp", dport=81, to="queue 1"))
    with pytest.raises(CannotSteer, match=r"in all rules of eth / ipv4 / udp"):
        i40e.add(SteeringRule(src="10.0.0.1", proto="udp", dport=81, to="queue 1"))
