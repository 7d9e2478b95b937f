"""`RteFlow` over a NIC in software: all or nothing under any fault, counts, RETA, what is left."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import replace

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
from steering_nic import PACKETS, agrees, flow, in_force, rules_at_random

REFUSALS = (errno.EIO, errno.ENOSPC, errno.ENOTSUP, errno.EBUSY)


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


refused = st.dictionaries(st.integers(0, 60), st.sampled_from(REFUSALS), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 1 << 32), refused, refused, st.none() | st.integers(0, 40))
def test_after_any_faults_the_next_change_sets_all_right(
    seed: int, creates: dict[int, int], destroys: dict[int, int], capacity: int | None
) -> None:
    """Refusals come in any number, also of what undoes others. Whenever it says that all is as it was, it is, or nearer
    to what it is to be; in the end the device has the rules that it is to have, and no other."""
    chance = random.Random(seed)
    nic = NicModel("net_mlx5", faults=Faults(refused_creates=creates, refused_destroys=destroys, capacity=capacity))
    back_end = RteFlow(nic)
    wrong = False  # what a fault before left otherwise, each call tries to set right first
    for _ in range(8):
        before, rules, amiss = in_force(nic), back_end.rules(), False
        new = rules_at_random(chance, 3)
        try:
            match chance.randrange(3) if rules else 0:
                case 0:
                    back_end.add(new[0])
                case 1:
                    back_end.remove(chance.choice(list(rules)))
                case 2:
                    back_end.apply([*list(rules.values())[::2], *new])
        except DeviceFault as fault:
            amiss = "as they were" not in fault.message
            assert back_end.rules() == rules
        except (CannotSteer, TableFull):
            assert back_end.rules() == rules
        assert wrong or amiss or in_force(nic) == before or back_end.rules() != rules
        wrong = wrong or amiss
    nic.faults = NO_FAULTS
    rules = back_end.rules()
    back_end.apply(rules.values())
    assert back_end.rules() == rules
    assert back_end.used == len(nic.table().entries)
    agrees(nic, list(rules.values()), chance)


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
