"""Branches lead where their keys say, the same in both modes; they are part of the graph, and refused where wrong."""

from __future__ import annotations

import enum
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether

import burstline as bl
import scapy_frames
from both_modes import run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.compiler.stage_facts import facts_of
from burstline.engine.program import prepare
from burstline.packet.fields import HEADER
from scapy_frames import Scapy, packet_of

FRAMES = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, Scapy)]


def marking(name: str) -> bl.Chain:
    """A chain that drops what comes to it, by its own name."""
    return bl.Chain(stage_of(f"def to_{name}(pkt):\n    return bl.drop('{name}')"), name=name)


A, B, C = (marking(name) for name in "abc")


def by_number() -> bl.Pipeline:
    branch = bl.Branch({0: A, 1: B, 2: bl.DROP, 3: bl.drop("three"), 4: bl.CONSUME, -5: bl.send(0), 6: None}, default=C)
    source = "def choose(pkt):\n    k = pkt.length % 12\n    return branch[k if k < 8 else k - 14]"
    return bl.Pipeline(stage_of(source, branch=branch))


def test_a_branch_by_number_leads_where_its_keys_say() -> None:
    frames = [frame + bytes(k) for frame in FRAMES for k in range(13)]
    outcome = run_both(by_number(), frames).equal()
    numbers = [len(f) % 12 for f in frames]
    numbers = [k if k < 8 else k - 14 for k in numbers]
    drops = {name: count for name, (count, _) in outcome.counts["drops"].items()}
    assert drops == {
        "a": numbers.count(0), "b": numbers.count(1), "choose": numbers.count(2), "three": numbers.count(3),
        "c": sum(k not in (0, 1, 2, 3, 4, -5, 6) for k in numbers),
    }  # fmt: skip
    assert outcome.counts["consumed"][0] == numbers.count(4)
    assert outcome.counts["sent"][0] == numbers.count(-5) + numbers.count(6)


@pytest.mark.parametrize("inner", [False, True])
def test_a_branch_by_header_takes_the_first_that_is_there(inner: bool) -> None:
    ways = {"vxlan": A, "tcp": B, "ipv6": C, "arp": bl.drop("arp"), "udp": bl.CONSUME}
    branch = bl.Branch(ways, default=bl.drop("none"))
    stage = stage_of(f"def choose(pkt):\n    return branch[pkt{'.inner' if inner else ''}]", branch=branch)
    chance = random.Random(4)
    frames = [chance.choice(FRAMES) for _ in range(200)]
    outcome = run_both(bl.Pipeline(stage), frames).equal()
    wanted: dict[str, int] = {}
    for frame in frames:
        packet = packet_of(frame)
        level = packet.inner if inner else packet
        name = next((n for n in ways if getattr(level, n)), "none")
        wanted[name] = wanted.get(name, 0) + 1
    drops = {name: count for name, (count, _) in outcome.counts["drops"].items()}
    shown = {"vxlan": "a", "tcp": "b", "ipv6": "c"}
    assert drops == {shown.get(n, n): count for n, count in wanted.items() if n != "udp"}
    assert outcome.counts["consumed"][0] == wanted.get("udp", 0)


FEW = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
WAYS = st.sampled_from([A, B, C, None, bl.PASS, bl.DROP, bl.CONSUME, bl.drop("x"), bl.drop("y"), bl.send(1)])
PORTS = st.integers(0, 8) | st.sampled_from([53, 80, 65535])


@FEW
@given(st.dictionaries(PORTS, WAYS, min_size=1), WAYS, st.lists(PORTS, max_size=40))
def test_any_table_of_numbers_leads_the_same_way_in_both_modes(
    table: dict[int, Any], default: Any, sent: list[int]
) -> None:
    branch = bl.Branch(table, default=default)
    stages = [
        stage_of("def choose(pkt):\n    return branch[pkt.udp.dport]", branch=branch),
        stage_of("def after(pkt):\n    return bl.drop('after') if pkt.udp.dport & 1 else None"),
    ]
    outcome = run_both(stages, [bytes(Ether() / IPv6() / UDP(dport=port)) for port in sent]).equal()
    assert outcome.report.received.packets == len(sent)
    dropped = sum(table.get(port, default) is bl.DROP for port in sent)
    assert outcome.counts["drops"].get("choose", (0, 0))[0] == dropped


@FEW
@given(st.dictionaries(st.sampled_from(sorted(HEADER)), WAYS, min_size=1), WAYS, st.booleans())
def test_any_table_of_headers_leads_the_same_way_in_both_modes(
    table: dict[str, Any], default: Any, inner: bool
) -> None:
    branch = bl.Branch(table, default=default)
    run_both(
        [stage_of(f"def choose(pkt):\n    return branch[pkt{'.inner' if inner else ''}]", branch=branch)], FRAMES
    ).equal()


def test_an_extension_header_that_a_stage_has_cut_off_is_not_there() -> None:
    branch = bl.Branch({"ipv6_hopopts": bl.drop("options"), "udp": bl.drop("udp")})
    frames = [bytes(Ether() / IPv6() / IPv6ExtHdrHopByHop() / UDP())]
    for line, reason in (("pass", "options"), ("pkt.ipv6.next_header = 17", "udp")):
        stage = stage_of(f"def choose(pkt):\n    {line}\n    return branch[pkt]", branch=branch)
        assert list(run_both([stage], frames).equal().counts["drops"]) == [reason]


class Port(enum.IntEnum):
    DNS = 53
    WEB = 80


def test_enumerations_and_yes_or_no_are_numbers() -> None:
    frames = [bytes(Ether() / IPv6() / UDP(dport=port)) for port in (53, 80, 1)]
    names: dict[str, Any] = {"Port": Port, "branch": bl.Branch({Port.DNS: A, Port.WEB: B, 0: C, 1: bl.CONSUME})}
    for asked, expected in (("pkt.udp.dport", {"a", "b"}), ("Port.DNS", {"a"}), ("pkt.udp.dport == 53", {"c"})):
        outcome = run_both([stage_of(f"def choose(pkt):\n    return branch[{asked}]", **names)], frames).equal()
        assert outcome.counts["drops"].keys() == expected


def test_a_table_of_prefixes_and_a_branch_lead_by_address() -> None:
    nets = bl.PrefixMap({"192.0.2.0/24": 1, "10.0.0.0/8": 2})
    stage = stage_of(
        "def route(pkt):\n    return ways[nets.get(pkt.ipv4.src, 0)]",
        nets=nets, ways=bl.Branch({1: A, 2: B}, default=bl.drop("no route")),
    )  # fmt: skip
    drops = run_both(bl.Pipeline(stage), FRAMES).equal().counts["drops"]
    with_ip = sum(bool(packet_of(f).ipv4) for f in FRAMES)
    assert drops["a"][0] == with_ip
    assert drops["no route"][0] == len(FRAMES) - with_ip


def test_a_branch_is_part_of_the_graph() -> None:
    pipeline = by_number()
    assert {chain.name for chain in pipeline.chains} == {"main", "a", "b", "c"}
    outcomes = {str(outcome) for outcome in facts_of(pipeline.stages[0]).outcomes}
    assert {"to chain a", "to chain c", 'drop "three"', 'drop "choose"', "consumed", "goes on"} <= outcomes
    asks = stage_of("def asks(pkt):\n    return branch[pkt]", branch=bl.Branch({"tcp": A, "vlan": bl.DROP}))
    assert facts_of(asks).reads == ["tcp", "vlan"]
    first = bl.Chain(stage_of("def one(pkt):\n    return None"), name="first")
    branch = bl.Branch({1: first})
    back = stage_of("def two(pkt):\n    return branch[pkt.length]", branch=branch)
    first.stages = (back,)
    with pytest.raises(bl.UsageError, match="circle: first -> first"):
        bl.Pipeline(stage_of("def start(pkt):\n    return first", first=first))


def test_what_makes_no_sense_is_refused_with_what_to_write() -> None:
    def refused(text: str, hint: str, *args: Any, **kwargs: Any) -> None:
        with pytest.raises(bl.UsageError) as caught:
            bl.Branch(*args, **kwargs)
        assert text in caught.value.message and hint in (caught.value.hint or "")

    refused("at least one way", "default", {})
    refused("no such header", "did you mean 'tcp'?", {"tpc": A})
    refused("not by both", "one of each", {1: A, "tcp": B})
    refused("no key of a branch", "whole numbers", {True: A})
    refused("no key of a branch", "whole numbers", {1 << 63: A})
    refused("no key of a branch", "a PrefixMap gives the number", {bl.ip("10.0.0.1"): A})
    refused("at least one way", "default", [A])
    refused("a branch, 1: 5 is nowhere to go", "a chain or a verdict", {1: 5})
    refused("nowhere to go", "a chain or a verdict", {1: A}, default="a")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("return numbers[pkt]", "is not asked by a packet"),
        ("return headers[pkt.length]", "is not asked by a number"),
        ("return numbers(pkt.length)", "is a branch; it is not called"),
        ("return numbers[pkt.ipv4.src]", "is not asked by an IPv4 address"),
    ],
)
def test_a_branch_that_is_asked_wrongly_is_refused_at_its_place(source: str, said: str) -> None:
    names = {"numbers": bl.Branch({1: A}), "headers": bl.Branch({"tcp": A})}
    stage = stage_of(f"def choose(pkt):\n    {source}", **names)
    with pytest.raises(CompileError, match=said):
        prepare(bl.Pipeline(stage), mode="file", capacity=64, workers=1, dispatch="auto")
