"""`RteFlow` over a NIC in software: all or nothing under any fault, priorities, counts, RETA, what is left."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.errors import BurstlineError
from burstline.steering.back_end import BackEnd, CannotSteer, DeviceFault, TableFull, add_together
from burstline.steering.both_directions import reversed_rule
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find
from burstline.steering.model.faults import NO_FAULTS, Faults
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from steering_rules import random_steering_rule
from test_steering_patterns import PACKETS, VIEWS, near, reached

REFUSALS = (errno.EIO, errno.ENOSPC, errno.ENOTSUP, errno.EBUSY)


def flow(number: int, **more: Any) -> SteeringRule:
    given_ = {"src": f"10.1.{number >> 8}.{number & 255}", "dst": "10.2.0.1", "proto": "udp", "sport": 5, "dport": 9}
    return SteeringRule(**{**given_, "to": "queue 1", **more})


def in_force(nic: NicModel) -> list[Any]:
    """What decides over packets, whatever the rules are called there."""
    return [nic.table().reta, *sorted(map(repr, nic._entries.values()))]


def rules_at_random(chance: random.Random, count: int) -> list[SteeringRule]:
    return [near(chance) if chance.random() < 0.5 else random_steering_rule(chance) for _ in range(count)]


def agrees(nic: NicModel, rules: list[SteeringRule], chance: random.Random) -> None:
    for number in chance.sample(range(len(PACKETS)), 60):
        if reached(nic.personality, VIEWS[number]):
            found, rule = nic.classify(PACKETS[number]), first_match(rules, VIEWS[number])
            assert (found.handle != 0) == (rule is not None)
            assert rule is None or str(rule.to) != "drop" or found.queue is None


# ---- transactions ----


@pytest.mark.parametrize("driver", ["model", "net_mlx5", "net_i40e"])
@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 1 << 32), st.integers(0, 60), st.sampled_from(REFUSALS),
    st.sampled_from(("create", "destroy", "full")), st.sampled_from(("add", "apply", "remove")),
)  # fmt: skip
def test_what_fails_leaves_the_device_as_it_was(
    driver: str, seed: int, after: int, error: int, call: str, by: str
) -> None:
    chance = random.Random(seed)
    nic = NicModel(driver)
    back_end = RteFlow(nic)
    handles = []
    for rule in rules_at_random(chance, 5):
        try:
            handles.append(back_end.add(rule))
        except CannotSteer:
            continue
    before, rules, used = in_force(nic), back_end.rules(), back_end.used
    creates, destroys = (next(nic._calls[name]) + 1 for name in ("create", "destroy"))
    nic.faults = {
        "create": replace(NO_FAULTS, refused_creates={creates + after: error}),
        "destroy": replace(NO_FAULTS, refused_destroys={destroys + after: error}),
        "full": replace(NO_FAULTS, capacity=used + after),
    }[call]
    new = rules_at_random(chance, 4)
    actions: dict[str, Callable[[], object]] = {
        "add": lambda: back_end.add(new[0]),
        "apply": lambda: back_end.apply([*list(rules.values())[::2], *new]),
        "remove": lambda: back_end.remove(handles[0]) if handles else None,
    }
    try:
        actions[by]()
    except (CannotSteer, TableFull):
        assert in_force(nic) == before
        assert back_end.rules() == rules
        assert back_end.used == used
    except DeviceFault as fault:
        # One refusal is one: what is undone is not refused, too.
        assert "as they were" in fault.message
        assert in_force(nic) == before
        assert back_end.rules() == rules
    else:
        agrees(nic, list(back_end.rules().values()), chance)
    nic.faults = NO_FAULTS
    back_end.close()
    assert nic.table().entries == ()


def test_a_rule_of_several_patterns_is_made_whole_or_not_at_all() -> None:
    nic = NicModel("net_mlx5", faults=Faults(refused_creates={5: errno.EIO}))
    back_end = RteFlow(nic)
    with pytest.raises(DeviceFault, match="as they were"):
        back_end.add(SteeringRule(src="0.0.0.0/0", proto="tcp", dport="80-443", to="queue 1"))
    assert nic.table().entries == ()
    assert len(nic.table().entries) == back_end.used == 0


def test_what_cannot_be_undone_is_said_and_set_right_later() -> None:
    nic = NicModel("net_mlx5", faults=Faults(refused_creates={1: errno.EIO}, refused_destroys={0: errno.EIO}))
    back_end = RteFlow(nic)
    with pytest.raises(DeviceFault, match=r"could not be undone: 'proto 17 -> queue 1' is still in force"):
        back_end.add(SteeringRule(proto="udp", to="queue 1"))
    assert back_end.rules() == {}
    assert back_end.used == 1, "the rule that stays takes a place"
    back_end.add(flow(1))
    assert len(nic.table().entries) == 1
    assert back_end.used == 1


def test_a_rule_that_could_not_be_made_again_is_made_later() -> None:
    """Removing two patterns fails at the second, and making the first again fails, too."""
    nic = NicModel("net_mlx5")
    back_end = RteFlow(nic)
    handle = back_end.add(SteeringRule(proto="udp", to="queue 1"))
    nic.faults = Faults(refused_destroys={1: errno.EIO}, refused_creates={2: errno.ENOSPC})
    with pytest.raises(DeviceFault, match=r"could not be undone: 'proto 17 -> queue 1' is not in force"):
        back_end.remove(handle)
    assert len(nic.table().entries) == 1
    back_end.add(flow(1))
    assert len(nic.table().entries) == 3
    back_end.remove(handle)
    assert len(nic.table().entries) == 1


def test_both_directions_are_there_or_none() -> None:
    there = flow(1, src_mac="02:00:00:00:00:01")
    back = reversed_rule(there)
    assert (str(back.src), str(back.dst), back.sport, back.dport) == ("10.2.0.1/32", "10.1.0.1/32", (9, 9), (5, 5))
    assert (back.src_mac, back.dst_mac, reversed_rule(back)) == (None, there.src_mac, there)
    nic = NicModel("net_mlx5", faults=Faults(capacity=3))
    back_end = RteFlow(nic)
    pair = add_together(back_end, [flow(1), reversed_rule(flow(1))])
    with pytest.raises(TableFull, match=r"no room for 'src 10\.2\.0\.1/32"):
        add_together(back_end, [flow(2), reversed_rule(flow(2))])
    assert list(back_end.rules()) == pair
    assert len(nic.table().entries) == 2


def test_new_rules_are_there_before_old_ones_go() -> None:
    nic = NicModel("model")
    back_end = RteFlow(nic)
    back_end.apply([flow(n) for n in range(3)])
    seen = []
    create, destroy = nic.create, nic.destroy
    nic.create = lambda rule: (seen.append("create"), create(rule))[1]  # type: ignore[method-assign]
    nic.destroy = lambda handle: (seen.append("destroy"), destroy(handle))[1]  # type: ignore[method-assign,func-returns-value]
    back_end.apply([flow(n) for n in range(2, 5)])
    each = len(nic.table().entries) // 3
    assert seen == ["create"] * 2 * each + ["destroy"] * 2 * each


def test_a_full_table_is_changed_by_removing_first() -> None:
    nic = NicModel("net_ice", faults=Faults(capacity=4))
    back_end = RteFlow(nic)
    back_end.apply([flow(n) for n in range(4)])
    handles = back_end.apply([flow(n) for n in range(2, 6)])
    assert [str(back_end.rules()[h].src) for h in handles] == [f"10.1.0.{n}/32" for n in range(2, 6)]
    before = in_force(nic)
    with pytest.raises(TableFull):
        back_end.apply([flow(n) for n in range(10, 15)])
    assert in_force(nic) == before


def test_a_rule_that_only_does_otherwise_replaces_itself() -> None:
    nic = NicModel("net_ice")
    back_end = RteFlow(nic)
    back_end.apply([flow(1, to="queue 1"), flow(2)])
    back_end.apply([flow(1, to="queue 2"), flow(2)])
    assert [e.actions[-1].number for e in nic.table().entries] == [1, 2]


def test_rules_that_stay_keep_their_handles_and_counts() -> None:
    nic = NicModel("model")
    back_end = RteFlow(nic)
    one, two = back_end.apply([SteeringRule(count=True), flow(1)])
    for data in PACKETS[:10]:
        nic.classify(data)
    assert back_end.counts() == {one: (10, sum(map(len, PACKETS[:10])))}
    again = back_end.apply([SteeringRule(count=True), flow(2)])
    assert again[0] == one
    assert again[1] != two
    assert back_end.counts()[one][0] == 10


# ---- priorities ----


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
    assert len({rule.priority for rule in nic._entries.values()}) == 3


def test_tagged_and_other_rules_do_not_share_a_level_of_tc() -> None:
    nic = NicModel("net_tap")
    RteFlow(nic).apply([flow(n) for n in range(20)])
    levels: dict[int, set[bool]] = {}
    for rule in nic._entries.values():
        levels.setdefault(rule.priority, set()).add(any(i.kind == "VLAN" for i in rule.items))
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


# ---- faults that are told or not ----


def test_a_rule_that_silently_does_nothing_is_seen_by_its_count() -> None:
    nic = NicModel("model", faults=Faults(silent_creates=frozenset({0})))
    back_end = RteFlow(nic)
    handle = back_end.add(SteeringRule(to="queue 3", count=True))
    nic.classify(PACKETS[0])
    assert back_end.counts() == {handle: (0, 0)}


def test_a_lost_destroy_shows_when_the_rule_comes_again() -> None:
    nic = NicModel("net_ice", faults=Faults(lost_destroys=frozenset({0})))
    back_end = RteFlow(nic)
    back_end.remove(back_end.add(flow(1)))
    assert len(nic.table().entries) == 1
    with pytest.raises(DeviceFault) as raised:
        back_end.add(flow(1, to="queue 2"))
    assert "File exists" in raised.value.message
    assert "flush its rules" in str(raised.value.hint)
    nic.flush()
    back_end.add(flow(1, to="queue 2"))


def test_updates_come_into_force_late_and_rules_are_away_while_the_table_is_written() -> None:
    now = [0.0]
    nic = NicModel("model", faults=Faults(latency=2.0, duration=1.0, window=0.5), clock=lambda: now[0],
                   wait=lambda seconds: now.__setitem__(0, now[0] + seconds))  # fmt: skip
    back_end = RteFlow(nic)
    back_end.add(SteeringRule(to="queue 3"))
    assert now[0] == 1.0, "the call takes its time"
    version = nic.table().version
    assert nic.classify(PACKETS[0]).handle == 0
    now[0] = 3.1
    assert nic.classify(PACKETS[0]).handle == 0, "the table is being written"
    now[0] = 3.6
    assert nic.classify(PACKETS[0]).queue == 3
    assert nic.table().version > version
    assert nic.table() is nic.table()


def test_what_the_device_disliked_is_the_field_that_is_named() -> None:
    """A driver's data may be wrong: the device's own refusal names a field, too."""
    knows_better = NicModel("net_tap")
    back_end = RteFlow(
        knows_better, driver=replace(find("model"), driver="net_tap", tags=1, levels=4, beside=frozenset())
    )
    for given_, field in (
        ({"proto": "tcp", "flags": "S/SA"}, "flags"), ({"proto": "tcp", "sport": "80-90"}, "sport"),
        ({"tunnel": "vxlan", "tunnel_id": 4}, "tunnel_id"), ({"tunnel": "gre"}, "tunnel"), ({"proto": "sctp"}, "proto"),
        ({"proto": "tcp", "to": "cores 0, 1"}, "to"),
    ):  # fmt: skip
        with pytest.raises(CannotSteer, match="net_tap refused the rule") as raised:
            back_end.add(SteeringRule(**{"to": "queue 1", **given_}))
        assert raised.value.field == field
    assert knows_better.table().entries == ()


# ---- RETA, limits, interface ----


def test_buckets_move_one_by_one_and_all_or_none() -> None:
    nic = NicModel("net_ice", queues=4, reta_size=8)
    back_end = RteFlow(nic)
    back_end.move_bucket(3, 0)
    assert nic.table().reta == (0, 1, 2, 0, 0, 1, 2, 3)
    nic.faults = Faults(refused_retas={1: errno.EIO})
    with pytest.raises(DeviceFault, match="the RETA is as it was"):
        back_end.set_reta([1] * 8)
    assert nic.table().reta == (0, 1, 2, 0, 0, 1, 2, 3)
    back_end.set_reta([1] * 8)
    assert nic.reta() == [1] * 8
    with pytest.raises(CannotSteer, match="bucket 9 cannot go to queue 1") as raised:
        back_end.move_bucket(9, 1)
    assert raised.value.field == "reta"
    with pytest.raises(CannotSteer, match="net_tap has none"):
        RteFlow(NicModel("net_tap", reta_size=0)).set_reta([])


def test_limits_tell_what_is_left() -> None:
    back_end: BackEnd = RteFlow(NicModel("net_ixgbe"))
    assert (back_end.limits.exact, back_end.limits.wildcards) == (2047, 2047)
    back_end.apply([flow(n) for n in range(10)])
    assert back_end.limits.exact == 2037
    assert back_end.limits.reta_size == 128
    assert back_end.limits.updates > 0
    assert RteFlow(NicModel("net_tap")).limits.exact is None
    assert RteFlow(NicModel("net_null")).limits.exact == 0


def test_a_rule_that_nobody_can_do_names_its_field_everywhere() -> None:
    impossible = {"dport": SteeringRule(tunnel="vxlan", dport=99, to="queue 1"), "to": SteeringRule(to="core 77")}
    for name in ("model", "net_tap", "net_mlx5", "net_ice", "net_ixgbe", "net_igc"):
        for field, rule in impossible.items():
            back_end = RteFlow(NicModel(name), {0: 0}.__getitem__)
            with pytest.raises(CannotSteer) as raised:
                back_end.add(rule)
            if name in ("model", "net_mlx5"):
                assert raised.value.field == field
            assert raised.value.hint


def test_no_rule_is_left_when_it_is_closed() -> None:
    nic = NicModel("model")
    back_end = RteFlow(nic)
    back_end.apply([flow(n) for n in range(5)])
    with pytest.raises(KeyError):
        back_end.remove(99)
    back_end.close()
    assert nic.table().entries == ()
    assert isinstance(TableFull("x"), BurstlineError)
