"""Branches lead where their keys say, the same in both modes; they are part of the graph, and refused where wrong."""

from __future__ import annotations

import random
from typing import Any

import pytest

import burstline as bl
import scapy_frames
from both_modes import run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.compiler.stage_facts import facts_of
from burstline.engine.program import prepare
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
    refused("nowhere to go", "a chain or a verdict", {1: 5})
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
