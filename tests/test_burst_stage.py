"""Burst stages: compiled, over groups of sixteen, they see and say what they do for one packet after another."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.compiler.errors import CompileError
from burstline.engine.offline import FileRun
from burstline.packet.fields import HEADER
from burstline.packet.group_fields import HEADERS_OF_GROUPS, NUMBERS, lane_bits
from burstline.simd import level as simd_level
from mutations import mutants, seeds
from packet_corpus import corpus, truncations


def packets() -> list[bytes]:
    """Every kind of header, whole and cut, and mutants of them; in an order that mixes them."""
    chance = random.Random(7)
    found = [*corpus().values(), *(data for _, data in truncations())]
    found += [data for data, _ in mutants(chance, 600, seeds())]
    chance.shuffle(found)
    return found[:2500]


def burst_stage_of(source: str, **names: Any) -> bl.Stage:
    return bl.burst_stage(stage_of(source, **names).function)


def reader(level: str) -> tuple[list[bl.Stage], list[bl.Counter]]:
    """Burst stages that add up every field of every header, each header in a counter of its own."""
    stages, counters = [], []
    for name in HEADERS_OF_GROUPS:
        counter = bl.Counter(f"{level}{name}")
        lines = [f"total = (pkts.{level}{name}.here).count()"]
        for k, field in enumerate(HEADER[name].fields):
            value = f"pkts.{level}{name}.{field.name}"
            if lane_bits(field) == 1:
                lines.append(f"total += {value}.count() * {k * 7 + 3}")
            elif lane_bits(field):
                lines.append(f"total += ({value}.sum() & 0xFFFF_FFFF_FFFF) * {k + 1}")
        body = "".join(f"    {line}\n" for line in lines)
        stages.append(burst_stage_of(f"def read_{name}(pkts):\n{body}    counter.add(total)\n", counter=counter))
        counters.append(counter)
    own = bl.Counter("own")
    names = [n for n in NUMBERS if not level or n in ("proto", "vlan_depth", "mpls_depth")]
    body = "".join(f"    total += pkts.{level}{n}.sum() * {k + 1}\n" for k, n in enumerate(names))
    body += f"    total += pkts.{level}is_fragment.count() * 77 + pkts.{level}here.count()\n"
    body += "" if level else "    total += (pkts.time & 0xFFFF_FFFF).sum()\n"
    stages.append(burst_stage_of(f"def read_own(pkts):\n    total = 0\n{body}    own.add(total)\n", own=own))
    return stages, [*counters, own]


@pytest.mark.parametrize("level", ["", "inner."])
def test_every_field_of_every_header_is_the_same_in_lanes_and_one_by_one(level: str) -> None:
    stages, counters = reader(level)
    outcome = run_both(stages, packets(), out=None).equal()
    assert sum(outcome.state.values()) > 0
    silent = [c.name for c in counters if c.value == 0]
    assert not silent or level  # inner packets of the corpus have not every header


@pytest.mark.parametrize("simd", [level for level in simd_level.known() if level != simd_level.known()[-1]])
def test_narrower_vectors_say_the_same(simd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BURSTLINE_SIMD", simd)
    stages, _ = reader("")
    assert run_both(stages[-12:], packets()[:700], out=None).equal().state


LONG, SEEN, PORTS = bl.Counter("long"), bl.Counter("seen"), bl.Counter("ports")
VERDICTS = """
def first(pkts):
    SEEN.add(pkts.here.count())
    is_dns = pkts.udp.here & ((pkts.udp.dport == 5353) | (pkts.udp.sport == 53))
    return bl.where(is_dns, bl.drop("dns"), bl.where(pkts.ipv4.here & (pkts.ipv4.ttl < 65), bl.DROP))

def second(pkts):
    LONG.add((pkts.length > 100).count())
    return bl.where(pkts.tcp.here, other, bl.where(pkts.length > 120, bl.CONSUME, bl.where(pkts.arp.here, bl.send(3))))

def third(pkts):
    if (pkts.length > 90).any():
        return None
    return bl.PASS
"""


def deciding() -> bl.Pipeline:
    other = bl.Chain(stage_of("def in_other(pkt):\n    PORTS.add(pkt.tcp.dport)\n", PORTS=PORTS), name="other")
    names = {"SEEN": SEEN, "LONG": LONG, "other": other}
    parts = [f"def {part}" for part in VERDICTS.strip().split("def ")[1:]]
    last = stage_of("def last(pkt):\n    if pkt.ipv6:\n        return bl.drop('six')\n    return bl.CONSUME")
    return bl.Pipeline(*(burst_stage_of(part, **names) for part in parts), last)


def test_verdicts_of_a_group_go_to_their_packets_and_later_stages_see_the_others_only() -> None:
    outcome = run_both(deciding(), packets()).equal()
    drops = outcome.counts["drops"]
    assert {"dns", "first", "six"} <= drops.keys()
    assert outcome.state["Counter 0"] == len(packets()) > outcome.state["Counter 1"] > 0


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called"])
def test_burst_stages_are_hops_like_others(dispatch: str) -> None:
    assert run_both(deciding(), packets()[:300], dispatch=dispatch).equal()


def test_several_workers_each_group_their_own_packets(tmp_path: Path) -> None:
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(packets()))
    one, two = (FileRun(deciding(), str(source), None, workers=n) for n in (1, 2))
    results = []
    for run in (one, two):
        report = run.run()
        results.append((report.drops, report.consumed, SEEN.value, LONG.value, PORTS.value))
    assert results[0] == results[1]


def test_a_group_in_which_a_burst_stage_fails_is_dropped_by_its_name() -> None:
    stage = burst_stage_of("def fails(pkts):\n    return bl.drop('never') if pkts.length[20] else None\n")
    outcome = run_both([stage], packets()[:100]).equal()
    assert outcome.counts["drops"].keys() == {"fails: error"}


def test_a_burst_stage_after_stages_of_single_packets_is_refused() -> None:
    single = stage_of("def single(pkt):\n    return None")
    group = burst_stage_of("def group(pkts):\n    return None")
    with pytest.raises(bl.UsageError, match="burst stage group comes after single"):
        bl.Pipeline(single, group)
    chain = bl.Chain(group, name="other")
    with pytest.raises(bl.UsageError, match="burst stage group is in chain other"):
        bl.Pipeline(stage_of("def hand(pkt):\n    return other", other=chain))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("return bl.where(pkts.tcp.syn, bl.DROP)", "tcp of a group has no 'syn'"),
        ("return bl.where(pkts.ipv6.src == 1, bl.DROP)", "ipv6 of a group has no 'src'"),
        ("return bl.where(pkts.payload, bl.DROP)", "a group of packets has no 'payload'"),
        ("pkts.ipv4.ttl = 3", "does not write to packets"),
        ("pkts.clone()", "burst stages make no packets"),
        ("probe.emit(pkts)", "Template.emit is not called with a group of packets"),
        ("return bl.where(pkts.length, bl.DROP)", "where"),
        ("return pkts.length", "vector u32x16"),
        ("if pkts.tcp.here: return bl.DROP", "neither true nor false"),
    ],
)
def test_what_a_burst_stage_cannot_do_is_said_with_its_line(line: str, problem: str) -> None:
    stage = burst_stage_of(f"def wrong(pkts):\n    {line}\n", probe=bl.Template(bytes(60)))
    with pytest.raises(CompileError) as caught:
        run_both([stage], [b"\0" * 60])
    assert problem in str(caught.value) and line in str(caught.value)
