"""Every stage is in one region, which is entered at its first one; any division of a graph gives the same."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.compiler import regions
from burstline.compiler.regions import divide
from scapy_frames import ARP4, ICMP6, TCP4, TCP_OPTIONS, UDP4

SIZES = st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=6), min_size=1, max_size=7)


@given(SIZES, st.data())
def test_regions_hold_every_stage_once_and_are_entered_at_their_heads_only(
    sizes: list[list[int]], data: st.DataObject
) -> None:
    budget = data.draw(st.integers(1, 400))
    callers = {c: data.draw(st.sets(st.integers(0, c - 1), min_size=1)) for c in range(1, len(sizes))}
    found = divide(sizes, callers, "auto", budget)

    nodes = [node for group in found.groups for node in group]
    assert sorted(nodes) == [(c, p) for c, chain in enumerate(sizes) for p in range(len(chain))]
    assert set(found.why) == set(nodes)
    heads = [group[0] for group in found.groups]
    for group in found.groups:
        assert len(group) == 1 or sum(sizes[c][p] for c, p in group) <= budget
    for chain, place in nodes:
        if place + 1 < len(sizes[chain]) and found.of((chain, place)) != found.of((chain, place + 1)):
            assert (chain, place + 1) in heads
    for target, who in callers.items():
        # a hop leads from any stage of a caller to the first of the target: within one region, or to a head
        home = found.of((target, 0))
        inside = all(found.of((c, p)) == home for c in who for p in range(len(sizes[c])))
        assert inside or (target, 0) in heads


def test_what_is_told_is_done() -> None:
    sizes, callers = [[9, 9], [9]], {1: {0}}
    assert divide(sizes, callers, "fused", 1).groups == [[(0, 0), (0, 1), (1, 0)]]
    for told in ("tail", "called"):
        divided = divide(sizes, callers, told, 1000)  # type: ignore[arg-type]
        assert divided.groups == [[(0, 0)], [(0, 1)], [(1, 0)]]
        assert divided.dispatch == told


FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, TCP_OPTIONS)]


def graph(chance: random.Random) -> bl.Pipeline:
    """A graph of chains without circles, whose stages count, drop, consume, and lead to later chains."""
    chains: list[bl.Chain] = []
    hits = bl.Counter("hits")
    for number in range(chance.randrange(2, 6)):
        stages = []
        for place in range(chance.randrange(1, 4)):
            ways = ["bl.PASS", "bl.CONSUME", "bl.DROP", f"bl.drop('{number} {place}')", "bl.send(0)", "None"]
            ways += [f"c{k}" for k in range(len(chains))] * 3
            tests = "".join(
                f"    {'if' if k == 0 else 'elif'} (pkt.length + {chance.randrange(9)}) % 5 == {k}:\n"
                f"        return {chance.choice(ways)}\n"
                for k in range(4)
            )
            source = f"def s{number}_{place}(pkt):\n    hits.add({number * 7 + place + 1})\n{tests}"
            names: dict[str, Any] = {f"c{k}": c for k, c in enumerate(chains)}
            stages.append(stage_of(source, hits=hits, **names))
        chains.append(bl.Chain(*stages, name=f"c{number}"))
    return bl.Pipeline(*chains[-1].stages)


@pytest.mark.parametrize("seed", range(3))
def test_any_graph_gives_the_same_however_it_is_divided(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [frame + bytes(k) for k, frame in enumerate(FRAMES * 6)]
    results = []
    for dispatch, budget in (("fused", 4000), ("tail", 4000), ("called", 4000), ("auto", 60), ("auto", 150)):
        monkeypatch.setattr(regions, "FUSE_UP_TO", budget)
        # the budget is no part of the cache's key: it is a constant of the source
        monkeypatch.setenv("BURSTLINE_CACHE", "/dev/null/none")
        outcome = run_both(graph(random.Random(seed)), frames, dispatch=dispatch).equal()
        results.append((outcome.counts, outcome.state))
    assert all(result == results[0] for result in results)
