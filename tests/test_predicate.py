"""A predicate is the same in vectors, one packet after another, and interpreted."""

from __future__ import annotations

import random
from typing import Any

import pytest

import burstline as bl
from both_modes import function_of, run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.pipeline.burst_stage import BurstStage
from mutations import mutants, seeds
from packet_corpus import V4, corpus

SERVER, PORTS = bl.ip(V4["dst"]), (80, 443, 82)
ADDRESSES = (bl.ip("10.1.2.3"), SERVER)


def packets() -> list[bytes]:
    chance = random.Random(11)
    found = [*corpus().values(), *(data for data, _ in mutants(chance, 500, seeds()))]
    chance.shuffle(found)
    return found


def predicate_of(body: str, **names: Any) -> Any:
    names = {"SERVER": SERVER, "PORTS": PORTS, "ADDRESSES": ADDRESSES, **names}
    return bl.predicate(function_of(f"def chosen(pkt):\n{body}", **names))


VECTORS = [
    "pkt.tcp",
    "pkt.tcp and pkt.tcp.dport in PORTS",
    "not pkt.ipv4 or pkt.ipv4.ttl < 65",
    "pkt.ipv4.dst == SERVER and not pkt.udp",
    "pkt.ipv4.src in ADDRESSES or pkt.ipv4.dst in ADDRESSES",
    "pkt.tcp.flags & 0x12 == 0x10",
    "60 <= pkt.length < 120",
    "pkt.ipv4.df or pkt.is_fragment",
    "pkt.inner and pkt.inner.ipv4.ttl != 64",
    "pkt.eth.src == 0x061122334455 and pkt.time > 5",
    "pkt.vlan_depth and (pkt.vlan.id | 1) not in (1, 3, 101)",
    "pkt.udp.sport != pkt.udp.dport and pkt.proto",
]
NUMBERS = [
    "pkt.ipv4.ttl - 65 < 0",
    "pkt.length * 2 > 200",
    "pkt.ipv4.ttl == -1 or pkt.tcp",
    "pkt.ipv4.ttl < 0x1_0000_0001",
    "pkt.ipv6 and pkt.ipv6.dst == pkt.ipv6.dst",
    "len(pkt.payload) > 20",
]


def test_a_predicate_in_vectors_is_the_same_as_of_single_packets() -> None:
    for number, expression in enumerate(VECTORS):
        made = predicate_of(f"    return {expression}\n")
        assert made.group is not None, expression
        grouped = bl.Pipeline(made)
        assert isinstance(grouped.stages[0], BurstStage)
        single = bl.Pipeline(stage_of("def first(pkt):\n    return None"), made)
        assert single.stages[1] is made
        outcome = run_both(grouped, packets()).equal()
        assert 0 < outcome.report.sent.packets < len(packets()), expression
        if number % 3 == 0:  # the same function, compiled for one packet: each takes seconds
            other = run_both(single, packets()).equal()
            assert outcome.counts == other.counts, expression
            assert outcome.written == other.written


def test_a_predicate_with_arithmetic_of_signed_numbers_takes_single_packets() -> None:
    for expression in NUMBERS:
        made = predicate_of(f"    return {expression}\n")
        assert made.group is None, expression
        assert run_both([made], packets()[:300]).equal().counts["drops"].keys() <= {"chosen"}


def test_a_predicate_can_be_longer_than_an_expression() -> None:
    made = predicate_of("    if pkt.arp:\n        return True\n    if pkt.ipv4.ttl > 64:\n        return pkt.tcp\n")
    assert made.group is None
    outcome = run_both([made], packets()).equal()
    assert 0 < outcome.report.sent.packets < len(packets())


def test_two_predicates_in_front_are_both_in_vectors_and_count_their_own_drops() -> None:
    def is_ip(pkt: Any) -> Any:
        return pkt.ipv4 or pkt.ipv6

    def is_short(pkt: Any) -> Any:
        return pkt.length < 100

    pipeline = bl.Pipeline(bl.predicate(is_ip), bl.predicate(is_short))
    assert len(pipeline.burst_stages) == 2
    assert run_both(pipeline, packets()).equal().counts["drops"].keys() == {"is_ip", "is_short"}


def test_closed_over_values_are_constants_of_a_predicate() -> None:
    def made(limit: int) -> Any:
        def below(pkt: Any) -> Any:
            return pkt.length < limit

        return bl.predicate(below)

    sent = [run_both([made(limit)], packets()).equal().report.sent.packets for limit in (0, 80, 1 << 20)]
    assert sent[0] == 0 < sent[1] < sent[2] == len(packets())


def test_a_predicate_is_replaced_by_name_and_by_itself() -> None:
    made = predicate_of("    return pkt.tcp\n")
    pipeline = bl.Pipeline(made)
    for old in (made, "chosen"):
        other = pipeline.replace(old, predicate_of("    return pkt.udp\n"))
        assert len(other.stages) == 1 and other.stages[0] is not pipeline.stages[0]


@pytest.mark.parametrize("position", ["first", "second"])
def test_a_field_that_does_not_exist_is_marked_in_the_predicates_own_line(position: str) -> None:
    made = predicate_of("    return pkt.tcp and pkt.tcp.dprt == 80\n")
    stages = [made] if position == "first" else [stage_of("def first(pkt):\n    return None"), made]
    with pytest.raises(CompileError, match="did you mean 'dport'") as caught:
        run_both(stages, packets()[:2])
    assert "return pkt.tcp and pkt.tcp.dprt == 80" in str(caught.value)


def test_an_address_beside_a_number_is_refused_as_for_a_single_packet() -> None:
    for expression in ("pkt.ipv4.src == 5", "pkt.ipv4.dst & 255 == 0", "pkt.ipv4.ttl == SERVER"):
        made = predicate_of(f"    return {expression}\n")
        assert made.group is None
        with pytest.raises(CompileError, match="address"):
            run_both([made], packets()[:2])
