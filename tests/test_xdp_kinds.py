"""What needs no kernel: wildcards by kind of packet find what all of them find; maps are put into programs."""

from __future__ import annotations

import random
import struct

import pytest

from burstline.state.exact_rules import TableFull
from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import KIND, Condition, Decision, words_of
from burstline.steering.software import wildcards_of
from burstline.steering.xdp.kinds import KNOWN, MOST_CONDITIONS, by_kind, check_room, room_left, size
from burstline.steering.xdp.object import LOAD_IMMEDIATE, PSEUDO_MAP_FD, PSEUDO_MAP_VALUE, Place, instructions_of
from burstline.steering.xdp.program import Shape, module_of, object_of
from steering_rules import random_steering_rule
from test_rule_set import packets
from xdp_machine import packet

WORDS = [words_of(packet(data)) for data in packets()[:400]]
MAPS = ("scratch", "settings", "exact", "rules", "queues", "sockets")


def first(wildcards: list[Wildcard], words: list[int]) -> int:
    return next((w.rank for w in wildcards if all(c.holds(words) for c in w.conditions)), -1)


@pytest.mark.parametrize("count", [0, 1, 20, 150])
def test_a_packet_finds_in_the_list_of_its_kind_what_it_finds_among_all(count: int) -> None:
    chance = random.Random(count)
    rules = [random_steering_rule(chance) for _ in range(count)]
    wildcards = [w for k, rule in enumerate(rules) for w in wildcards_of(rule, k, Decision(queue=1))]
    lists = by_kind(wildcards)
    assert lists[-1] == (None, wildcards)
    assert all(size(own) <= size(wildcards) for _, own in lists)
    of_kind = dict(lists)
    for words in WORDS:
        own = of_kind.get(words[KIND] & KNOWN, wildcards)
        assert first(own, words) == first(wildcards, words)


def test_what_does_not_fit_in_five_lists_has_one_and_more_is_refused() -> None:
    any_kind = [Wildcard((Condition(2, 0xFFF, k, 0),), k, Decision(queue=1)) for k in range(MOST_CONDITIONS // 2)]
    assert len(by_kind(any_kind[: MOST_CONDITIONS // 10])) == 5
    assert len(by_kind(any_kind)) == 1
    check_room(any_kind)
    assert (room_left(any_kind), room_left([])) == (0, MOST_CONDITIONS // 2)
    with pytest.raises(TableFull, match="2,501 wildcard rules with 5,002 comparisons are too many"):
        check_room([*any_kind, any_kind[0]])


def test_maps_are_put_where_the_program_names_them() -> None:
    places = {name: Place(100 + k, is_value=name == "settings") for k, name in enumerate(MAPS)}
    elf = object_of(module_of(Shape(4, 128), []))
    code, untouched = (instructions_of(elf, ".text", p) for p in (places, dict.fromkeys(MAPS, Place(0))))
    seen = set[int]()
    for at in range(0, len(code), 8):
        if code[at] == LOAD_IMMEDIATE and code[at + 1] >> 4:
            fd, offset = struct.unpack_from("<i", code, at + 4)[0], struct.unpack_from("<i", code, at + 12)[0]
            is_value = fd == places["settings"].fd
            assert code[at + 1] >> 4 == (PSEUDO_MAP_VALUE if is_value else PSEUDO_MAP_FD)
            assert is_value or offset == 0
            seen.add(fd)
    assert seen == {place.fd for place in places.values()}
    assert len(code) == len(untouched) and code != untouched
