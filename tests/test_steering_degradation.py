"""Rules that a device has no room for, or no way, are carried out by what means the same: packets that rules name are
decided over as these say."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.state.steering_table import SteeringTable
from burstline.steering.back_end import CannotSteer, TableFull
from burstline.steering.degradation import Placed, cover, place_rules, split, spread_over
from burstline.steering.director import SoftwareDirector
from burstline.steering.hardware.back_end import RteFlow
from burstline.steering.hardware.driver import find
from burstline.steering.model.nic import NicModel
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_match import first_match
from burstline.steering.target import Cores, Drop, Queue
from steering_nic import flow, read
from test_live_director import frame


def nic(capacity: int = 0, **more: Any) -> NicModel:
    """The NIC in software; of rules it has room for so many of its own."""
    return NicModel(replace(find("model"), capacity=capacity, **more))


def core(number: int) -> int:
    return number


def placed_on(device: NicModel, rules: list[SteeringRule], **more: Any) -> list[Placed]:
    return place_rules(RteFlow(device), rules, core, reta=device.reta(), **more)


def rule(number: int, to: str = "queue 1", **more: Any) -> SteeringRule:
    """Of flow `number` of `VIEWS`."""
    given_ = {
        "src": f"10.0.0.{number}",
        "dst": f"10.9.0.{number % 4}",
        "proto": "udp",
        "sport": 5000 + number,
        "to": to,
    }
    return SteeringRule(**{**given_, "dport": 1000 + number, **more})


def test_what_fits_is_carried_out_as_it_is() -> None:
    rules = [rule(1), SteeringRule(src="10.0.0.0/8", proto="udp", to="queue 2", priority=1)]
    made = placed_on(nic(), rules)
    assert [(each.rule, each.level, each.why, each.instead) for each in made] == [
        (rules[0], "exact", "", None), (rules[1], "wildcard", "", None),
    ]  # fmt: skip


def test_exact_rules_without_room_are_covered_by_coarser_ones() -> None:
    same_service = [flow(k, dport=443) for k in range(100)]
    alone = [rule(1, to="queue 3"), rule(2, to="drop")]
    device = nic(capacity=16 * 4)
    made = placed_on(device, [*same_service, *alone])
    coarse = {each.instead for each in made[:100]}
    assert {each.level for each in made[:100]} == {"wildcard"}
    assert {each.why for each in made[:100]} == {"no room for an exact rule"}
    assert [str(each) for each in coarse] == ["dst 10.2.0.1/32 proto 17 dport 443 -> queue 1"]
    assert [each.level for each in made[100:]] == ["exact", "exact"]


def test_what_drops_marks_or_counts_is_never_covered() -> None:
    for more in ({"to": "drop"}, {"mark": 7}, {"count": True}, {"to": "rss"}):
        rules = [flow(k, **more) for k in range(100)]
        assert cover(rules, 50) is None
        with pytest.raises(TableFull):
            placed_on(nic(capacity=16), rules)


def test_a_rule_that_decided_behind_is_not_let_before() -> None:
    rules = [flow(k) for k in range(10)]
    behind = SteeringRule(dst="10.2.0.1", proto="udp", to="queue 3", priority=1)
    assert cover([*rules, behind], 5) is None
    assert cover([*rules, replaced(behind, to="queue 1")], 5) is not None
    assert cover([*rules, replaced(behind, dst="10.2.0.9")], 5) is not None
    before = [replaced(each, priority=2) for each in rules]
    assert cover([*before, behind], 5) is not None


def replaced(given_: SteeringRule, **more: Any) -> SteeringRule:
    fields = ("src", "dst", "proto", "sport", "dport", "to", "priority", "mark", "count")
    return SteeringRule(**{**{name: getattr(given_, name) for name in fields}, **more})


VIEWS = [frame(k, 0)[:33] + bytes((k % 4,)) + frame(k, 0)[34:] for k in range(24)]  # to four destinations


@given(st.integers(0, 1 << 32), st.integers(12, 60))
def test_packets_that_rules_name_are_decided_over_as_these_say(seed: int, capacity: int) -> None:
    chance = random.Random(seed)
    numbers = chance.sample(range(24), chance.randrange(2, 20))
    rules = [some_rule(chance, number) for number in numbers]
    device = nic(capacity=capacity)
    try:
        made = placed_on(device, rules)
    except (TableFull, CannotSteer):
        return
    assert [each.rule for each in made] == rules
    for data in VIEWS:
        wanted = first_match(rules, read(data))
        if wanted is None:
            continue
        found = device.classify(data)
        to = wanted.to
        if isinstance(to, Drop):
            assert found.queue is None
        elif isinstance(to, Queue):
            assert found.queue == to.number
        elif isinstance(to, Cores):
            assert found.queue in to.numbers
        if not isinstance(to, Drop):
            assert found.mark == wanted.mark


def some_rule(chance: random.Random, number: int) -> SteeringRule:
    """Mostly exact ones, many to the same port."""
    kind = chance.randrange(24)
    to = ("queue 1", "queue 2", "cores 2, 3", "queue 1")[number % 4 if chance.random() < 0.8 else 0]
    if kind < 20:
        return rule(number, to, priority=chance.randrange(2))
    if kind < 22:
        return rule(number, chance.choice(("drop", "queue 1")), mark=chance.choice((None, 9)))
    if kind == 22:
        low = chance.randrange(1000, 1020)
        return SteeringRule(proto="udp", dport=f"{low}-{low + 3}", to=to, priority=chance.randrange(3))
    return SteeringRule(src=f"10.0.0.{number & 0xF8}/29", to=to, priority=chance.randrange(3))


def test_a_rule_that_only_spreads_goes_by_the_reta() -> None:
    """Where the device has no rule for all packets: one that takes no pattern without a field."""
    limited = replace(find("model"), needs_field=True, items={k: v for k, v in find("model").items.items() if v})
    device = NicModel(limited)
    spread = SteeringRule(to="cores 2, 3", priority=5)
    try:
        RteFlow(NicModel(limited)).apply([spread])
    except CannotSteer:
        pass
    else:
        pytest.fail("it has one")
    hidden = SteeringRule(proto="tcp", to="queue 1", priority=6)
    made = placed_on(device, [rule(1), spread, hidden])
    assert [each.level for each in made] == ["exact", "reta", None]
    assert made[1].why == "the device has no rule for all packets"
    assert Counter(device.reta()) == {2: 64, 3: 64}
    with pytest.raises(CannotSteer):
        placed_on(NicModel(limited), [SteeringRule(to="drop")])
    with pytest.raises(CannotSteer):
        place_rules(RteFlow(NicModel(limited)), [spread], core)  # without buckets


def test_which_rule_spreads_and_what_is_hidden_behind_it() -> None:
    first, spread = rule(1, priority=1), SteeringRule(to="queue 2", priority=1)
    behind, before = rule(2, priority=1), rule(3)
    assert split([first, spread, behind, before]) == ([first, before], spread, [behind])
    marks = SteeringRule(to="queue 2", mark=1)
    assert split([first, marks]) == ([first, marks], None, [])
    assert spread_over(Cores((5, 4)), [0] * 4, {4: 0, 5: 1}.__getitem__) == [1, 0, 1, 0]
    assert spread_over(SteeringRule().to, [3, 2, 1, 0], core) == [3, 2, 1, 0]


def test_software_carries_out_all_at_its_own_level() -> None:
    rules = [rule(1), SteeringRule(to="drop", priority=3)]
    made = place_rules(SoftwareDirector(SteeringTable(4)), rules, core, reta=[0] * 128)
    assert [(each.level, each.instead) for each in made] == [("software", None)] * 2
