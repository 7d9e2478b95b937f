"""What a pipeline touches, from its byte code: what runs of the same functions touch is among the paths."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import function_of, stage_of
from burstline.engine.branch_counts import counted
from burstline.pipeline.accesses import MOST_PATHS, Access, Accesses, Path, accesses_of
from burstline.pipeline.flow_graph import flow_graph
from burstline.pipeline.profile import Profile, code_key

FIELDS = ("a", "b", "c", "d")


class Record(bl.Record):
    a: bl.u64
    b: bl.u64
    c: bl.u32
    d: bl.u32


class Watched:
    """Anything that a stage touches: says of itself what was touched, and is a number drawn by a seed."""

    def __init__(self, seen: set[Access], owner: Any, numbers: Any) -> None:
        object.__setattr__(self, "state", (seen, owner, numbers))

    def __getattr__(self, name: str) -> Any:
        seen, owner, numbers = object.__getattribute__(self, "state")
        if owner == "pkt" and name in ("ipv4", "tcp"):
            seen.add(Access(name, ""))
            return Watched(seen, name, numbers)
        seen.add(Access(owner, name))
        return next(numbers)

    def __setattr__(self, name: str, value: Any) -> None:
        seen, owner, _ = object.__getattribute__(self, "state")
        seen.add(Access(owner, name))

    def __bool__(self) -> bool:
        return bool(next(object.__getattribute__(self, "state")[2]))


class WatchedTable(bl.FlowTable[Record]):
    """A flow table that hands out a watched record."""

    def __init__(self) -> None:
        super().__init__(Record, capacity=10)
        self.watch: tuple[set[Access], int, Any] | None = None

    def __getitem__(self, packet: Any) -> Any:
        assert self.watch is not None
        self.watch[0].add(Access(self.watch[1], ""))
        return Watched(*self.watch)


EXPRESSIONS = ("pkt.length", "pkt.tcp.dport", "pkt.ipv4.ttl", "one.a", "two.b", "3", "picked.c")
CONDITIONS = (
    "pkt.ipv4", "pkt.tcp and pkt.tcp.sport > 1", "one.a == 2", "not pkt.length", "two.d != 1 or pkt.time",
    "picked.a < 2 < picked.b",
)  # fmt: skip


def statements(depth: int, *, loops: bool) -> st.SearchStrategy[list[str]]:
    simple = [
        *(f"{to} = {value}" for to in ("one.a", "two.b", "pkt.ipv4.ttl", "number") for value in EXPRESSIONS[:4]),
        *(f"picked.{field} += {value}" for field in "cd" for value in EXPRESSIONS[3:]),
        "number = help(pkt, one)", "picked = help2(one, two)", "one, two = two, one", "return", "return bl.DROP",
        "return bl.drop('why')", "picked = one if pkt.length else two", "pass",
    ]  # fmt: skip
    line = st.sampled_from(simple).map(lambda s: [s])
    if depth == 0:
        return line
    inner = statements(depth - 1, loops=loops)
    body = st.lists(inner, min_size=1, max_size=3).map(lambda parts: [f"    {s}" for part in parts for s in part])
    condition = st.sampled_from(CONDITIONS)
    kinds = [
        line,
        st.builds(lambda c, then: [f"if {c}:", *then], condition, body),
        st.builds(lambda c, then, other: [f"if {c}:", *then, "else:", *other], condition, body, body),
    ]
    if loops:
        kinds.append(st.builds(lambda then: ["for k in range(3):", *then], body))
        kinds.append(
            st.builds(lambda c, then: [f"while {c}:", *then, "    if pkt.captured:", "        break"], condition, body)
        )
    return st.one_of(kinds)


def pipeline_of(body: list[str], tables: list[WatchedTable]) -> bl.Pipeline:
    source = "\n    ".join(["def touch(pkt):", "one, two = first[pkt], second[pkt]", "picked, number = one, 0", *body])
    names = dict(zip(("first", "second"), tables, strict=True))
    helps = {
        "help": function_of("def help(p, r):\n    if r.d == 3:\n        return p.length\n    return p.tcp.flags"),
        "help2": function_of("def help2(r, s):\n    return r if r.b else s"),
    }
    return bl.Pipeline(stage_of(source, **names, **helps))


def run(pipeline: bl.Pipeline, tables: list[WatchedTable], numbers: list[int]) -> frozenset[Access]:
    """What one call touches when what is read are these numbers."""
    seen: set[Access] = set()
    given = iter([*numbers, *[1] * 2000])
    for number, table in enumerate(pipeline.state):
        assert isinstance(table, WatchedTable)
        table.watch = (seen, number, given)
    pipeline.stages[0].function(Watched(seen, "pkt", given))
    return frozenset(seen)


NUMBERS = st.lists(st.integers(0, 3), min_size=12, max_size=12)


@settings(deadline=None, max_examples=300)
@given(st.lists(statements(2, loops=False), max_size=4), st.lists(NUMBERS, min_size=4, max_size=4))
def test_a_run_touches_what_one_of_the_paths_does(bodies: list[list[str]], draws: list[list[int]]) -> None:
    tables = [WatchedTable(), WatchedTable()]
    pipeline = pipeline_of([s for body in bodies for s in body], tables)
    found = accesses_of(pipeline)
    assert sum(path.weight for path in found.paths) == pytest.approx(1)
    paths = {path.touched for path in found.paths}
    for numbers in draws:
        touched = run(pipeline, tables, numbers)
        assert any(touched <= path for path in paths)
        # A name that may stand for either record touches both; and very many paths are taken together.
        either = any(name in str(bodies) for name in ("picked", "one, two ="))
        assert touched in paths or either or len(found.paths) > MOST_PATHS // 2


@settings(deadline=None, max_examples=300)
@given(st.lists(statements(2, loops=True), max_size=4), st.lists(NUMBERS, min_size=4, max_size=4))
def test_nothing_is_touched_that_is_not_counted(bodies: list[list[str]], draws: list[list[int]]) -> None:
    tables = [WatchedTable(), WatchedTable()]
    pipeline = pipeline_of([s for body in bodies for s in body], tables)
    found = accesses_of(pipeline)
    counted = {access for access, count in found.stages[0].counts.items() if count.reads + count.writes > 0}
    for numbers in draws:
        assert run(pipeline, tables, numbers) <= counted
    assert sum(path.weight for path in found.paths) == pytest.approx(1)
    assert {access for path in found.paths for access in path.touched} <= counted


@settings(deadline=None, max_examples=200)
@given(st.lists(statements(3, loops=True), max_size=4))
def test_what_comes_into_a_block_goes_out_of_it(bodies: list[list[str]]) -> None:
    pipeline = pipeline_of([s for body in bodies for s in body], [WatchedTable(), WatchedTable()])
    blocks = flow_graph(pipeline.stages[0].function.__code__).blocks
    for number, block in enumerate(blocks):
        came = sum(b.runs * e.rate for b in blocks for e in b.edges if e.to == number)
        assert block.runs == pytest.approx(came + (number == 0), rel=0.03, abs=1e-3) or block.runs > 500
        assert sum(e.rate for e in block.edges) == pytest.approx(1 if block.edges else 0)
        assert all(to > number for to, _ in block.onward)


@settings(deadline=None, max_examples=150)
@given(st.lists(statements(2, loops=True), max_size=4), st.lists(NUMBERS, min_size=3, max_size=3))
def test_branches_are_counted_as_they_are_taken(bodies: list[list[str]], draws: list[list[int]]) -> None:
    """What comes into a block goes out of it, and a profile of the very runs counts each access as often as they do."""
    tables = [WatchedTable(), WatchedTable()]
    pipeline = pipeline_of([s for body in bodies for s in body], tables)
    code = pipeline.stages[0].function.__code__
    with counted({code}) as taken:
        for numbers in draws:
            run(pipeline, tables, numbers)
    blocks = flow_graph(code).blocks
    for number, block in enumerate(blocks):
        came = sum(n for (_, to), n in taken[code].items() if to == number) + (len(draws) if number == 0 else 0)
        left = sum(n for (of, _), n in taken[code].items() if of == number)
        assert left == (0 if block.returns else came)
        assert {to for of, to in taken[code] if of == number} <= {edge.to for edge in block.edges}
    profiled = flow_graph(code, taken[code]).blocks
    for number, block in enumerate(profiled):
        came = sum(n for (_, to), n in taken[code].items() if to == number)
        for edge in block.edges if came and len(block.edges) == 2 else ():
            assert edge.rate == pytest.approx((taken[code].get((number, edge.to), 0) + 0.5) / (came + 1))
    found = accesses_of(pipeline, Profile({}, {code_key(code): taken[code]}))
    assert found.stages[0].counts.keys() == accesses_of(pipeline).stages[0].counts.keys()


def counts(found: Accesses, stage: int = 0) -> dict[tuple[Any, str], tuple[float, float]]:
    return {tuple(a): (round(c.reads, 2), round(c.writes, 2)) for a, c in found.stages[stage].counts.items()}  # type: ignore[misc]


flows = bl.FlowTable(Record)
hits = bl.Counter("hits")
resets = bl.Digest(Record)


def test_records_are_followed_through_names_and_calls() -> None:
    other = bl.FlowTable(Record)
    stage = stage_of(
        "def touch(pkt):\n"
        "    mine, other = flows[pkt], elsewhere[pkt]\n"
        "    bump(mine, pkt.length)\n"
        "    other.d = seen.new().a\n",
        flows=flows, elsewhere=other, seen=resets, bump=function_of("def bump(r, n):\n    r.b += n"),
    )  # fmt: skip
    assert counts(accesses_of(bl.Pipeline(stage))) == {
        (0, ""): (1, 0), (1, ""): (1, 0), (2, ""): (1, 0), ("pkt", "length"): (1, 0),
        (0, "b"): (1, 1), (2, "a"): (1, 0), (1, "d"): (0, 1),
    }  # fmt: skip


def test_what_is_not_known_counts_for_every_record_with_such_a_field() -> None:
    stage = stage_of(
        "def touch(pkt):\n    hits.add()\n    found = [flows[pkt]]\n    found[0].a += 1\n    found[0].zork = 2",
        flows=flows, hits=hits,
    )  # fmt: skip
    assert counts(accesses_of(bl.Pipeline(stage))) == {(0, ""): (0, 1), (1, ""): (1, 0), (1, "a"): (1, 1)}


def test_loops_count_more_and_comparisons_fail_more_often() -> None:
    stage = stage_of(
        "def touch(pkt):\n"
        "    flow = flows[pkt]\n"
        "    for k in range(4):\n"
        "        flow.a += 1\n"
        "    if flow.b == 0:\n"
        "        flow.c = 1\n",
        flows=flows,
    )
    found = counts(accesses_of(bl.Pipeline(stage)))
    assert found[0, "a"] == (7.33, 7.33)  # a loop goes on in 88 of 100 cases
    assert found[0, "b"] == (1, 0)
    assert found[0, "c"][1] < 0.5


def ended(paths: tuple[Path, ...]) -> dict[tuple[tuple[str, ...], str], float]:
    found: dict[tuple[tuple[str, ...], str], float] = {}
    for path in paths:
        found[path.stages, path.end] = round(found.get((path.stages, path.end), 0) + path.weight, 3)
    return found


def forked() -> bl.Pipeline:
    web = bl.Chain(stage_of("def look(pkt):\n    flows[pkt].a += 1\n    return bl.CONSUME", flows=flows), name="web")
    ways = bl.Branch({"tcp": web, "arp": bl.drop("no ARP")})
    return bl.Pipeline(
        stage_of("def split(pkt):\n    return ways[pkt]", ways=ways),
        stage_of("def out(pkt):\n    flows[pkt].b += 1\n    return bl.send(pkt.length % 3)", flows=flows),
    )


def test_paths_lead_through_chains_and_end_with_verdicts() -> None:
    third = 0.333
    assert ended(accesses_of(forked()).paths) == {
        (("split",), "dropped: no ARP"): third,
        (("split", "look"), "consumed"): third,
        (("split", "out"), "sent"): third,
    }


def test_a_run_that_counted_weighs_the_ways() -> None:
    edges = {
        (0, 0, "chain", "1"): 90, (0, 0, "next", ""): 9, (0, 0, "drop", "no ARP"): 1,
        (0, 1, "send", "1"): 6, (0, 1, "drop", "out: error"): 3, (1, 0, "consume", ""): 90,
    }  # fmt: skip
    found = accesses_of(forked(), Profile(edges))
    assert ended(found.paths) == {
        (("split", "look"), "consumed"): 0.9,
        (("split", "out"), "port 1"): 0.06,
        (("split", "out"), "dropped: out: error"): 0.03,
        (("split",), "dropped: no ARP"): 0.01,
    }
    assert [(s.stage, round(s.share, 3)) for s in found.stages] == [("split", 1), ("out", 0.09), ("look", 0.9)]
    assert [(sorted(u.fields), round(u.weight, 3)) for u in found.uses_of(0)] == [
        (["b"], 0.06),
        (["b"], 0.03),
        (["a"], 0.9),
    ]
    assert [(s, round(w, 3)) for s, _, w in found.users_of(Access(0, "a"))] == [("look", 0.9)]


def test_a_stage_that_the_profile_does_not_know_is_guessed() -> None:
    guessed = accesses_of(forked()).paths
    assert accesses_of(forked(), Profile({})).paths == guessed
    half = accesses_of(forked(), Profile({(0, 0, "next", ""): 1, (0, 0, "chain", "1"): 3}))
    assert ended(half.paths) == {(("split", "look"), "consumed"): 0.75, (("split", "out"), "sent"): 0.25}


def test_burst_stages_and_predicates_have_paths() -> None:
    @bl.predicate
    def opens(pkt: Any) -> Any:
        return pkt.tcp.flags & 0x12 == 0x02

    last = stage_of("def last(pkt):\n    flows[pkt].a += 1", flows=flows)
    assert ended(accesses_of(bl.Pipeline(opens, last)).paths) == {
        (("opens",), "dropped: opens"): 0.5,
        (("opens", "last"), "through"): 0.5,
    }


def test_many_ways_are_taken_together() -> None:
    body = "\n".join(f"    if pkt.time > {k}:\n        flows[pkt].{FIELDS[k % 4]} += pkt.{n}" for k, n in enumerate(
        ("length", "captured", "port", "proto", "vlan_depth", "mpls_depth", "payload", "is_fragment", "time")
    ))  # fmt: skip
    stages = [stage_of(f"def s{k}(pkt):\n{body}", flows=flows) for k in range(3)]
    found = accesses_of(bl.Pipeline(*stages))
    assert len(found.paths) <= 2 * MOST_PATHS
    assert sum(path.weight for path in found.paths) == pytest.approx(1)


def test_it_is_the_same_in_each_process() -> None:
    """Layouts go by it, and the cached object by them; hashes of texts differ from process to process."""
    script = (
        "from burstline.engine.app import load_app; from burstline.pipeline.accesses import accesses_of\n"
        "found = accesses_of(load_app('examples/handle_packet.py'))\n"
        "print([(p.stages, p.end, p.weight, sorted(map(str, p.touched))) for p in found.paths])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
        ).stdout
        for seed in "123"
    }
    assert len(said) == 1
