"""Counters add up over packets, stages and workers, also where a burst's sums are registers."""

from __future__ import annotations

import platform
import re
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import Both, pcap_of, run_both, stage_of
from burstline.compiler.compile import build_module
from burstline.engine.offline import FileRun
from burstline.engine.program import name_state, plan_of
from burstline.native.host import target_machine
from burstline.pipeline.needs import needs_of

HITS, BYTES = bl.Counter("hits"), bl.Counter("bytes")
UNCOUNT = "def uncount(pkt):\n    if pkt.length & 1:\n        hits.add(-2)\n    octets.add(True)"
COUNT = bl.Pipeline(
    stage_of("def count(pkt):\n    hits.add()\n    octets.add(pkt.length)", hits=HITS, octets=BYTES),
    stage_of(UNCOUNT, hits=HITS, octets=BYTES),
)
FEW = {"max_examples": 15, "deadline": None, "suppress_health_check": [HealthCheck.too_slow]}


@settings(**FEW)
@given(st.lists(st.binary(max_size=50), max_size=50), st.sampled_from([1, 2]))
def test_counters_are_the_sum_over_packets_stages_and_workers(packets: list[bytes], workers: int) -> None:
    state = run_both(COUNT, packets, workers=workers).equal().state
    assert state["Counter 0"] == sum(-1 if len(p) & 1 else 1 for p in packets)
    assert state["Counter 1"] == sum(len(p) + 1 for p in packets)


def test_a_counter_is_a_number_with_a_name() -> None:
    counter = bl.Counter("hits")
    counter.add()
    counter.add(41)
    assert (counter.value, int(counter), repr(counter)) == (42, 42, "Counter('hits': 42)")
    counter.reset()
    assert counter.value == 0
    fraction: Any = 1.5
    with pytest.raises(TypeError):
        counter.add(fraction)


# ---- stages in several chains, that fail, end early, count in loops and in helpers ----

C = {f"c{k}": bl.Counter(f"c{k}") for k in range(12)}
OUT = bl.Chain(stage_of("def out(pkt):\n    c9.add(pkt.length)\n    return bl.CONSUME", **C), name="out")
ODD = bl.Chain(
    stage_of("def odd(pkt):\n    c5.add()\n    if pkt.length & 2:\n        c6.add(-5)\n        return bl.DROP", **C),
    name="odd",
)
HELPER = "def more(n):\n    while n > 20:\n        c10.add(n & 3)\n        n -= 7\n    return n\n"
STAGES = (
    stage_of("def first(pkt):\n    c0.add()\n    c1.add(1 << (pkt.length & 31))\n    c2.add(pkt.length > 30)", **C),
    stage_of("def fails(pkt):\n    c3.add()\n    c4.add(100 // (pkt.length % 7))\n    c3.add(1000)", **C),
    stage_of(f"{HELPER}\ndef decide(pkt):\n    c11.add(more(pkt.length))\n    if pkt.length & 1:\n        return odd\n"
             "    if pkt.length & 4:\n        return out", odd=ODD, out=OUT, **C),
    stage_of("def last(pkt):\n    c7.add()\n    for k in range(pkt.length & 3):\n        c8.add(k)", **C),
)  # fmt: skip
PIPELINE = bl.Pipeline(*STAGES)


def told(packets: list[bytes]) -> dict[str, int]:
    """What the stages mean."""
    found = dict.fromkeys(C, 0)

    def add(name: str, n: int) -> None:
        found[name] += n

    for n in map(len, packets):
        add("c0", 1)
        add("c1", 1 << (n & 31))
        add("c2", n > 30)
        add("c3", 1)
        if n % 7 == 0:
            continue
        add("c4", 100 // (n % 7))
        add("c3", 1000)
        left = n
        while left > 20:
            add("c10", left & 3)
            left -= 7
        add("c11", left)
        if n & 1:
            add("c5", 1)
            add("c6", -5 if n & 2 else 0)
        elif n & 4:
            add("c9", n)
        else:
            add("c7", 1)
            add("c8", sum(range(n & 3)))
    return found


@pytest.mark.parametrize(
    ("dispatch", "workers"), [("fused", 1), ("fused", 3), ("tail", 1), ("tail", 2), ("called", 1), ("bucketed", 1)]
)
@settings(**FEW)
@given(st.lists(st.binary(max_size=62), max_size=400))
@example([bytes(n % 62) for n in range(3000)])
def test_no_add_is_lost_or_counted_twice(dispatch: str, workers: int, packets: list[bytes]) -> None:
    both: Both = run_both(PIPELINE, packets, workers=workers, dispatch=dispatch, out=None)
    outcome = both.equal()
    assert outcome.report.dispatch == dispatch
    found = {s.name: outcome.state[f"Counter {k}"] for k, s in enumerate(PIPELINE.state)}  # type: ignore[attr-defined]
    assert found == told(packets)


class Note(bl.Record):
    number: bl.u64


def test_a_counter_is_exact_whenever_python_is_handed_digests_in_the_middle_of_a_chunk() -> None:
    hits, notes = bl.Counter("hits"), bl.Digest(Note, capacity=16)
    stage = stage_of(
        "def note(pkt):\n    hits.add()\n    new = notes.new()\n    new.number = pkt.length", hits=hits, notes=notes
    )
    pipeline = bl.Pipeline(stage)
    seen: list[tuple[int, int]] = []

    @notes.batches
    def take(batch: Any) -> None:
        seen.append((len(batch), hits.value))

    with tempfile.TemporaryDirectory() as folder:
        capture = Path(folder, "in.pcap")
        capture.write_bytes(pcap_of([bytes(20)] * 5000))
        FileRun(pipeline, str(capture), None).run()
    assert len(seen) > 100, "the ring was full many times"
    total = 0
    for size, value in seen:
        total += size
        assert total <= value <= total + 16, "stored before the worker came back, and not for packets to come"
    assert total == hits.value == 5000


# ---- the machine code ----


def module_of(pipeline: bl.Pipeline, dispatch: str, mode: str = "file") -> Any:
    name_state(pipeline)
    plan = {"mode": mode, "capacity": 64, "dispatch": dispatch, "source": "pcap", "sink": "", "mbuf": ()}
    plan["chains"] = len(pipeline.chains)
    mbuf = ("buf_addr", "data_off", "data_len", "pkt_len", "nb_segs")
    plan["mbuf"] = tuple((name, 8 * k) for k, name in enumerate(mbuf))
    return build_module(pipeline, plan_of({**plan, **asdict(needs_of(pipeline))}))[0]


@pytest.mark.parametrize(
    ("dispatch", "mode"), [("fused", "file"), ("fused", "ports"), ("bucketed", "file"), ("bucketed", "ports")]
)
def test_sums_are_no_memory_and_each_block_is_stored_once_a_burst(dispatch: str, mode: str) -> None:
    text = str(module_of(PIPELINE, dispatch, mode))
    assert not re.search(r"@burstline_state_\d+", text), "a sum is still a variable in memory"
    assert not re.search(r"%burstline_state_\S+ = alloca", text)
    stored = re.findall(r"store (<\d+ x i64>|i64) .*?, ptr (?:getelementptr .*?)?@burstline_counters", text)
    lanes = [int(kind[1:].split()[0]) if kind.startswith("<") else 1 for kind in stored]
    assert sum(lanes) == len(C), "each counter has one store, which is not repeated on the ways through the stages"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="reads x86 assembly")
def test_the_loop_over_packets_stores_nothing_to_the_block() -> None:
    assembly = target_machine().emit_assembly(module_of(COUNT, "fused"))
    assert len(re.findall(r"burstline_counters@GOTPCREL", assembly)) == 1
    block = re.search(r"movq\s+burstline_counters@GOTPCREL\(%rip\), (%r\w+)\n(.*?)(?=^\.L|\Z)", assembly, re.S | re.M)
    assert block and re.search(rf"\({block[1]}\)", block[2]), "its address is used where it is taken, not in a loop"


def test_sums_stay_in_memory_of_the_workers_own_where_stages_are_functions() -> None:
    text = str(module_of(PIPELINE, "tail"))
    assert len(set(re.findall(r"@burstline_state_\d+ = internal", text))) == len(C)
