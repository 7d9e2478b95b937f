"""Bursts bucketed by next chain give what packets one by one give; what that cannot be done for is refused, and why."""

from __future__ import annotations

import random
from typing import Any

import pytest

import burstline as bl
from both_modes import run_both, stage_of
from burstline.engine.program import prepare
from burstline.pipeline.bucketing import against_bucketing, worth_bucketing
from burstline.pipeline.pipeline import targets
from scapy_frames import ARP4, ICMP6, TCP4, TCP_OPTIONS, UDP4

FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, TCP_OPTIONS)]


class Flow(bl.Record):
    packets: bl.u64
    order: bl.u64


def tree(ways: int, depth: int = 2) -> bl.Pipeline:
    """A stage that leads to `ways` chains, each of which counts flows in a table of its own, and to chains behind."""

    def chain(name: str, depth: int) -> bl.Chain:
        flows = bl.FlowTable(Flow, capacity=1000)
        source = (
            f"def count_{name}(pkt):\n    f = flows[pkt]\n    f.packets += 1\n    f.order = f.order * 31 + pkt.length"
        )
        return bl.Chain(stage_of(source, flows=flows), pick(name, depth - 1), name=name)

    def pick(name: str, depth: int) -> bl.Stage:
        below = {f"c{k}": chain(f"{name}{k}", depth) for k in range(ways)} if depth else {}
        lines = [f"def pick_{name}(pkt):", f"    w = (pkt.length * {7919 + len(name)} >> 3) % {ways + 3}"]
        for k in range(ways if depth else 0):
            lines += [f"    if w == {k}:", f"        return c{k}"]
        lines += [
            f"    if w == {ways}:",
            f"        return bl.drop('{name}')",
            f"    if w == {ways + 1}:",
            "        return bl.CONSUME",
        ]
        return stage_of("\n".join(lines), **below)

    return bl.Pipeline(pick("r", depth))


def packets(count: int) -> list[bytes]:
    chance = random.Random(count)
    return [chance.choice(FRAMES) + bytes(chance.randrange(40)) for _ in range(count)]


@pytest.mark.parametrize(("ways", "depth"), [(2, 1), (3, 2), (5, 1)])
def test_in_buckets_packets_go_the_same_ways_in_the_same_order(ways: int, depth: int) -> None:
    outcomes = []
    for dispatch in ("bucketed", "fused"):
        both = run_both(tree(ways, depth), packets(3000), dispatch=dispatch)
        outcome = both.equal()
        assert outcome.report.dispatch == dispatch
        outcomes.append((outcome.counts, outcome.state, outcome.written))
    assert outcomes[0] == outcomes[1]


def dispatch_of(pipeline: bl.Pipeline, dispatch: str = "auto", workers: int = 1) -> str:
    return prepare(pipeline, mode="file", capacity=128, workers=workers, dispatch=dispatch).dispatch


def test_auto_takes_buckets_where_a_stage_leads_to_many_chains() -> None:
    assert dispatch_of(tree(5, 1)) == "bucketed"
    assert dispatch_of(tree(5, 1), workers=2) == "fused"
    assert dispatch_of(tree(3, 1)) == "fused"
    assert worth_bucketing(tree(4, 1)) and not worth_bucketing(tree(3, 2))


def leading(source: str, **names: Any) -> bl.Pipeline:
    return bl.Pipeline(stage_of(source, **names))


def test_what_depends_on_the_order_between_chains_is_not_bucketed_and_it_is_said_why() -> None:
    flows = bl.FlowTable(Flow, capacity=10)
    a, b = (bl.Chain(stage_of("def c(pkt):\n    flows[pkt].packets += 1", flows=flows), name=n) for n in "ab")
    choose = "def choose(pkt):\n    if pkt.length > 100:\n        return a\n    return b"
    assert "a and b share a FlowTable" in (against_bucketing(leading(choose, a=a, b=b), 1) or "")
    seen: bl.Digest[Any] = bl.Digest(Flow)
    d = bl.Chain(stage_of("def d(pkt):\n    seen.new().packets = 1", seen=seen), name="d")
    e = bl.Chain(stage_of("def e(pkt):\n    return bl.CONSUME"), name="e")
    assert "digests" in (against_bucketing(leading(choose, a=d, b=e), 1) or "")
    f = bl.Chain(stage_of("def f(pkt):\n    if pkt.length > 50:\n        return e", e=e), name="f")
    assert "chain e from several chains" in (against_bucketing(leading(choose, a=f, b=e), 1) or "")
    assert "one chain only" in (against_bucketing(leading("def g(pkt):\n    return None"), 1) or "")
    g = bl.Chain(stage_of("def h(pkt):\n    pkt.clone()"), name="g")
    assert "packets that stages make" in (against_bucketing(leading(choose, a=g, b=e), 1) or "")
    assert "several workers" in (against_bucketing(tree(2, 1), 2) or "")
    with pytest.raises(bl.UsageError, match="share a FlowTable"):
        dispatch_of(leading(choose, a=a, b=b), "bucketed")
    with pytest.raises(bl.UsageError, match="packets that stages make"):
        dispatch_of(leading(choose, a=g, b=e), "bucketed")


@pytest.mark.parametrize("name", ["Set", "Map", "Meter", "CountMin", "HeavyHitters", "Histogram", "HyperLogLog"])
def test_state_that_answers_by_what_came_before_is_not_shared_by_buckets(name: str) -> None:
    made: dict[str, tuple[Any, str]] = {
        "Set": (bl.Set(9), "seen.add(1)"),
        "Map": (bl.Map(9), "seen.add(1)"),
        "Meter": (bl.Meter(9, 9), "seen.allow(pkt)"),
        "CountMin": (bl.CountMin(), "seen.add(1)"),
        "HeavyHitters": (bl.HeavyHitters(), "seen.add(pkt)"),
        "Histogram": (bl.Histogram("h"), "seen.add(1)"),
        "HyperLogLog": (bl.HyperLogLog(), "seen.add(1)"),
    }
    state, call = made[name]
    a, b = (bl.Chain(stage_of(f"def c(pkt):\n    {call}", seen=state), name=n) for n in "ab")
    said = against_bucketing(
        leading("def choose(pkt):\n    if pkt.length > 100:\n        return a\n    return b", a=a, b=b), 1
    )
    assert said == (
        None
        if name in ("Histogram", "HyperLogLog")
        else f"chains a and b share a {name}, which goes by the order of packets"
    )


def test_chains_of_one_name_are_told_apart() -> None:
    """A chain without a name is called like its first stage, so that two may have the same."""
    flows = bl.FlowTable(Flow, capacity=10)
    source = "def c(pkt):\n    f = flows[pkt]\n    f.order = f.order * 31 + pkt.length"
    a, b = (bl.Chain(stage_of(source, flows=flows)) for _ in range(2))
    assert a.name == b.name
    choose = "def choose(pkt):\n    if pkt.length % 3 == 0:\n        return a\n    return b"
    assert "share a FlowTable" in (against_bucketing(leading(choose, a=a, b=b), 1) or "")
    e = bl.Chain(stage_of("def e(pkt):\n    return bl.CONSUME"))
    c, d = (bl.Chain(stage_of("def f(pkt):\n    return e", e=e)) for _ in range(2))
    assert "from several chains" in (against_bucketing(leading(choose, a=c, b=d), 1) or "")


def test_chains_come_after_those_that_lead_to_them() -> None:
    """That is the order in which they are numbered, so that no bucket is filled again after its turn."""
    end = bl.Chain(stage_of("def end(pkt):\n    return bl.CONSUME"))
    chains = {"end": end}
    for k in range(7):  # each leads to all that were made before
        leads = "".join(f"    if pkt.length == {n}:\n        return {name}\n" for n, name in enumerate(chains))
        chains[f"c{k}"] = bl.Chain(stage_of(f"def c{k}(pkt):\n{leads}", **chains))
    first, *rest = chains
    named = (first, *rest[::-2], *rest)
    leads = "".join(f"    if pkt.length == {n}:\n        return {name}\n" for n, name in enumerate(named))
    pipeline = bl.Pipeline(stage_of(f"def choose(pkt):\n{leads}", **chains))
    assert len(pipeline.chains) == 9
    for number, chain in enumerate(pipeline.chains):
        assert all(pipeline.chains.index(target) > number for stage in chain.stages for target in targets(stage))


def test_chains_of_a_tree_are_in_the_order_of_its_stages() -> None:
    names = [chain.name for chain in tree(2, 2).chains]
    assert names == ["main", "r0", "r00", "r01", "r1", "r10", "r11"]
