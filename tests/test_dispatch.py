"""How stages hand packets over: fused or by jumps, with equal results; what the machine code may call; its cache."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.compiler import regions
from burstline.compiler.compile import build_module
from burstline.compiler.proof import refuse_forbidden
from burstline.engine.program import name_state, plan_of
from burstline.errors import BurstlineError
from burstline.native import cache
from burstline.native.build import C_LIBRARY, FORBIDDEN, undefined
from burstline.native.host import target_machine
from burstline.pipeline.fingerprint import fingerprint
from burstline.pipeline.needs import needs_of
from scapy_frames import ARP4, ICMP6, TCP4, TCP_OPTIONS, UDP4

FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, TCP_OPTIONS)]


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u64


def branching() -> bl.Pipeline:
    """Five stages in two chains; none but `count` needs to call anything."""
    syn = bl.Chain(
        stage_of("def swap(pkt):\n    pkt.eth.src, pkt.eth.dst = pkt.eth.dst, pkt.eth.src"),
        stage_of("def decide(pkt):\n    return bl.CONSUME if pkt.tcp.flag_syn else bl.drop('no SYN')"),
        name="syn",
    )
    short = stage_of("def short(pkt):\n    if pkt.length < 60:\n        return bl.DROP")
    lower = stage_of(
        "def lower(pkt):\n    if pkt.ipv4:\n        pkt.ipv4.ttl -= 1\n        if pkt.tcp:\n            return syn",
        syn=syn,
    )
    count = stage_of(
        "def count(pkt):\n    flow = flows[pkt]\n    flow.packets += 1", flows=bl.FlowTable(Flow, capacity=100)
    )
    return bl.Pipeline(short, lower, count)


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called"])
def test_packets_go_the_same_way_fused_and_by_jumps(dispatch: str) -> None:
    both = run_both(branching(), FRAMES * 50, dispatch=dispatch)
    outcome = both.equal()
    assert outcome.report.dispatch == dispatch
    assert {n: p for n, (p, _) in outcome.counts["drops"].items()} == {"short": 100, "no SYN": 50}
    assert (outcome.counts["consumed"][0], outcome.counts["sent"][0]) == (50, 50)


def test_a_stage_may_stand_in_several_places() -> None:
    hits = bl.Counter("hits")
    count = stage_of("def count(pkt):\n    hits.add()", hits=hits)
    again = bl.Chain(count, count, name="again")
    decide = stage_of("def decide(pkt):\n    return again if pkt.tcp else None", again=again)
    outcome = run_both(bl.Pipeline(count, decide, count), FRAMES).equal()
    assert outcome.state["Counter 0"] == 2 * 3 + 3 * 2


def module_of(pipeline: bl.Pipeline, dispatch: str) -> tuple[Any, Any]:
    name_state(pipeline)
    plan = {"mode": "file", "capacity": 64, "dispatch": dispatch, "source": "pcap", "sink": "", "mbuf": ()}
    return build_module(pipeline, plan_of({**plan, **asdict(needs_of(pipeline))}))


def body_of(assembly: str, function: str) -> str:
    found = re.search(rf"^{function}:(.*?)^\.Lfunc_end", assembly, re.DOTALL | re.MULTILINE)
    assert found, f"{function} is not a function of its own"
    return found.group(1)


@pytest.fixture(scope="module")
def built() -> dict[str, tuple[Any, Any]]:
    """The pipeline as it is, and where no two stages fit into one region."""
    fused = module_of(branching(), "auto")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions, "FUSE_UP_TO", 1)
        return {"fused": fused, "tail": module_of(branching(), "auto")}


def test_small_pipelines_are_fused_and_large_ones_jump_and_it_is_said_why(built: dict[str, tuple[Any, Any]]) -> None:
    assert built["fused"][1].dispatch == "fused"
    assert "1 function for 5 stages" in built["fused"][1].dispatch_why
    assert all("at most 4000" in why for _, why in built["fused"][1].hops)
    assert built["tail"][1].dispatch == "tail"
    assert "5 functions" in built["tail"][1].dispatch_why
    assert [why.split(":")[0] for _, why in built["tail"][1].hops] == ["entered first", *["tail-called"] * 4]


def test_the_size_of_a_stage_is_with_all_that_it_calls() -> None:
    work = "\n".join(f"    n = n * {k} + pkt.length ^ n >> {k % 7}" for k in range(2, 60))
    alone = stage_of(f"def alone(pkt):\n    n = 1\n{work}\n    return bl.DROP if n == 5 else None")
    helper = stage_of(f"def helper(pkt):\n    n = 1\n{work}\n    return n").function
    calls = stage_of("def calls(pkt):\n    return bl.DROP if helper(pkt) == 5 else None", helper=helper)
    nothing = stage_of("def nothing(pkt):\n    return None")
    sizes = [size for size, _ in module_of(bl.Pipeline(nothing, alone, calls), "auto")[1].hops]
    assert sizes[0] < sizes[1] <= sizes[2]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_by_jumps_every_hop_ends_in_a_jump_to_the_next_and_calls_nothing(built: dict[str, tuple[Any, Any]]) -> None:
    assembly = target_machine().emit_assembly(built["tail"][0])
    onward = {"hop_0_0": {"hop_0_1"}, "hop_0_1": {"hop_0_2", "hop_1_0"}, "hop_1_0": {"hop_1_1"}, "hop_1_1": set()}
    for hop, targets in onward.items():
        body = body_of(assembly, hop)
        jumps = set(re.findall(r"^\s+j\w+\s+(hop_\d+_\d+)\s*$", body, re.MULTILINE))
        assert jumps == targets, hop
        assert not re.search(r"^\s+call", body, re.MULTILINE), hop
        assert not re.search(r"^\s+(push|pop)", body, re.MULTILINE), f"{hop} saves registers"
        assert "rsp" not in body, f"{hop} touches the stack"
    assert not re.search(r"^hop_\d", target_machine().emit_assembly(built["fused"][0]), re.MULTILINE)


@pytest.mark.parametrize("dispatch", ["fused", "tail"])
def test_nothing_of_python_is_left_in_the_machine_code(dispatch: str, built: dict[str, tuple[Any, Any]]) -> None:
    names = undefined(built[dispatch][0])
    system = {"poll", "madvise", "sched_yield", "__errno_location", "lseek"}
    assert names <= C_LIBRARY | system | {"burstline_state_0"}
    assert not any(FORBIDDEN.match(name) for name in names)


@pytest.mark.parametrize(
    ("symbol", "what"),
    [
        ("NRT_Allocate", "allocates memory"),
        ("PyGILState_Ensure", "calls into Python"),
        ("numba_unpickle", "calls into Python"),
        ("_Py_NoneStruct", "calls into Python"),
    ],
)
def test_a_forbidden_symbol_is_refused_and_its_stage_named(symbol: str, what: str) -> None:
    guilty = stage_of("def guilty(pkt):\n    return None")
    stages = {stage_of("def innocent(pkt):\n    return None"): {"call @other"}, guilty: {f"call @{symbol}()"}}
    with pytest.raises(
        BurstlineError, match=rf"stage `guilty` cannot be compiled: something in it {what} \({symbol}\)"
    ):
        refuse_forbidden({"memcpy", symbol}, stages)
    with pytest.raises(BurstlineError, match=f"the compiled pipeline is refused: something in it {what}"):
        refuse_forbidden({symbol}, {})
    refuse_forbidden({"memcpy", "pread"}, stages)


# --- the cache --------------------------------------------------------------------------------------------------------

APP = """import math
import burstline as bl

LIMIT = 60
WHY = "short"
PORTS = (80, 443)
ADDRESS = bl.ip("10.0.0.1")


class Flow(bl.Record):
    packets: bl.u64
    bytes: bl.u32


flows = bl.FlowTable(Flow, capacity=1000)
hits = bl.Counter("hits")


def helper(value, add=1):
    return value * 3 + add


def limited(most):
    @bl.stage
    def closed(pkt):
        if pkt.length > most or pkt.tcp.dport in PORTS or pkt.ipv4.src == ADDRESS:
            hits.add(helper(pkt.length))
            return bl.drop(WHY)
        if pkt.length < LIMIT + math.pi:
            return other

    return closed


@bl.stage
def last(pkt):
    flows[pkt].packets += 1


other = bl.Chain(last, name="other")
pipeline = bl.Pipeline(limited(1500), last)
"""
CHANGES = {
    "constant": ("value * 3", "value * 4"),
    "global": ("LIMIT = 60", "LIMIT = 61"),
    "type of a global": ("LIMIT = 60", "LIMIT = 60.0"),
    "name of a drop": ('WHY = "short"', 'WHY = "long"'),
    "tuple": ("PORTS = (80, 443)", "PORTS = (80, 444)"),
    "address": ("10.0.0.1", "10.0.0.2"),
    "helper": ("return value * 3 + add", "return value * 3 - add"),
    "default": ("add=1", "add=2"),
    "closure": ("limited(1500)", "limited(1501)"),
    "width of a field": ("bytes: bl.u32", "bytes: bl.u64"),
    "order of fields": ("bytes: bl.u32", "bytes: bl.cold[bl.u32]\n    more: bl.u32"),
    "name of a field": ("    bytes: bl.u32", "    size: bl.u32"),
    "attribute of a module": ("math.pi", "math.tau"),
    "chain": ("bl.Chain(last,", "bl.Chain(last, last,"),
    "stages": ("pipeline = bl.Pipeline(limited(1500), last)", "pipeline = bl.Pipeline(last, limited(1500))"),
    "name of a stage": ("last", "final"),
    "kind of state": ('bl.Counter("hits")', "bl.FlowTable(Flow)"),
}
SAME = {
    "nothing": ("", ""),
    "comment": ("def helper", "# says nothing\ndef helper"),
    "blank lines": ("def helper", "\n\n\ndef helper"),
    "unused global": ("LIMIT = 60", "LIMIT = 60\nUNUSED = 5"),
    "name of a counter": ('Counter("hits")', 'Counter("other hits")'),
    "capacity": ("capacity=1000", "capacity=2000"),
}


def key_of(text: str, path: Path) -> str:
    path.write_text(text)
    space: dict[str, Any] = {"__name__": path.stem}
    exec(compile(text, str(path), "exec", dont_inherit=True), space)
    pipeline = space["pipeline"]
    name_state(pipeline)
    return cache.key_of(fingerprint(pipeline))


@pytest.mark.parametrize("name", CHANGES)
def test_the_key_changes_with_whatever_the_code_depends_on(name: str, tmp_path: Path) -> None:
    old, new = CHANGES[name]
    assert old in APP
    assert key_of(APP, tmp_path / "app.py") != key_of(APP.replace(old, new), tmp_path / "app.py")


@pytest.mark.parametrize("name", SAME)
def test_the_key_stays_with_what_it_does_not_depend_on(name: str, tmp_path: Path) -> None:
    old, new = SAME[name]
    assert key_of(APP, tmp_path / "app.py") == key_of(APP.replace(old, new), tmp_path / "another.py")


def test_the_key_changes_with_a_module_that_is_closed_over() -> None:
    def keyed(limit: int) -> str:
        settings = types.ModuleType("settings")
        settings.LIMIT = limit  # type: ignore[attr-defined]

        @bl.stage
        def look(pkt: Any) -> Any:
            return bl.DROP if pkt.length > settings.LIMIT else None

        return cache.key_of(fingerprint(bl.Pipeline(look)))

    assert keyed(5) == keyed(5)
    assert keyed(5) != keyed(6)


def test_the_key_is_that_of_another_process_too(tmp_path: Path) -> None:
    script = "import sys, pathlib, test_dispatch as t; print(t.key_of(t.APP, pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", script, str(tmp_path / "app.py")]
    keys = set()
    for seed in ("0", "1"):
        place = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=place, capture_output=True, text=True, check=True)
        keys.add(done.stdout)
    assert len(keys) == 1


RUN = """
import sys
from burstline.cli.main import main
code = main(["run", *sys.argv[1:]])
print("loaded:", *[m for m in ("numba", "burstline.compiler.compile") if m in sys.modules])
sys.exit(code)
"""


def run(app: Path, source: Path, place: Path) -> list[str]:
    environment = {**os.environ, "BURSTLINE_CACHE": str(place), "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", RUN, str(app), str(source)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def counts(lines: list[str]) -> list[str]:
    return [line for line in lines if "packets" in line]


def test_a_warm_start_needs_neither_numba_nor_the_compiler(tmp_path: Path) -> None:
    app, source, place = tmp_path / "app.py", tmp_path / "in.pcap", tmp_path / "cache"
    app.write_text(APP)
    source.write_bytes(pcap_of(FRAMES))
    cold = run(app, source, place)
    assert cold[-1] == "loaded: numba burstline.compiler.compile"
    entry = max(place.glob("*.o"), key=lambda file: file.stat().st_size)
    warm = run(app, source, place)
    assert warm[-1] == "loaded:"
    assert counts(warm) == counts(cold)
    entry.write_bytes(entry.read_bytes()[:-1000])
    again = run(app, source, place)
    assert again[-1] == "loaded: numba burstline.compiler.compile", "a damaged entry is as good as none"
    assert counts(again) == counts(cold)
    assert run(app, source, place)[-1] == "loaded:"


def test_an_entry_comes_back_as_it_was_saved_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_CACHE", str(tmp_path / "new"))
    assert cache.load("key") is None
    cache.save("key", b"object\n\0code", {"entry": "main", "reasons": ["", "a"]})
    assert cache.load("key") == (b"object\n\0code", {"entry": "main", "reasons": ["", "a"]})
    (entry,) = (tmp_path / "new").iterdir()
    whole = entry.read_bytes()
    for damaged in (whole[:-1], whole + b"x", whole[:-4] + b"CODE", b"", b"{}\n", b"5\nx", b"garbage", whole[1:]):
        entry.write_bytes(damaged)
        assert cache.load("key") is None


def test_the_cache_forgets_what_was_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "KEEP_BYTES", 5000)
    for k in range(8):
        cache.save(f"key{k}", bytes(1000), {})
        os.utime(tmp_path / f"key{k}.o", (k, k))
        cache.load("key1")
    assert [k for k in range(8) if cache.load(f"key{k}")] == [1, 5, 6, 7]


def test_without_a_place_to_write_the_cache_a_run_still_works(tmp_path: Path) -> None:
    app, source, place = tmp_path / "app.py", tmp_path / "in.pcap", tmp_path / "file"
    app.write_text(APP)
    source.write_bytes(pcap_of(FRAMES))
    place.write_text("no folder")
    assert counts(run(app, source, place / "cache"))
    assert place.read_text() == "no folder"
