"""`burstline explain`: the graph of stages, what they do, what they are compiled to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from both_modes import stage_of
from burstline.cli.main import main
from burstline.compiler.stage_facts import Outcome, facts_of
from burstline.simd import level

APP = '''
import burstline as bl

class Flow(bl.Record):
    packets: bl.u32
    first_seen: bl.cold[bl.u64]
    bytes: bl.u64

class Query(bl.Record):
    time: bl.i64

flows = bl.FlowTable(Flow, capacity=1000)
queries = bl.Digest(Query, capacity=64)
hits = bl.Counter("all hits")
blocked = bl.PrefixSet(["10.0.0.0/8", "2001:db8::/32"])
WHY = "too long"


@bl.stage
def log(pkt):
    queries.new().time = pkt.time
    return bl.CONSUME


dns = bl.Chain(log, name="dns")


def ports(packet, header):
    packet.eth.src = 1
    return header.sport + header.dport


@bl.stage
def first(pkt):
    """The line that counts is that of `def`."""
    udp = pkt.udp
    if udp and ports(pkt, udp) == 106:
        return dns
    if pkt.ipv4.src in blocked:
        hits.add()
        return bl.DROP
    verdict = bl.PASS
    if pkt.length > 1000:
        verdict = bl.drop(WHY)
    return verdict


@bl.stage
def last(pkt):
    flow = flows[pkt]
    flow.packets += 1
    pkt.ipv4.ttl -= 1
    pkt.fix_checksums()
    return bl.send(1 - pkt.port) if pkt.tcp.flag_syn else bl.send(0)


pipeline = bl.Pipeline(first, last)
'''


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("explain") / "app.py"
    path.write_text(APP)
    return str(path)


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["explain", *words]) == 0
    return capsys.readouterr().out


@pytest.fixture
def graph(app: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(explained(capsys, app, "--json"))
    return found


def test_chains_and_stages_come_in_order_with_their_lines(graph: dict[str, Any], app: str) -> None:
    assert [(c["name"], [s["name"] for s in c["stages"]]) for c in graph["chains"]] == [
        ("main", ["first", "last"]),
        ("dns", ["log"]),
    ]
    lines = APP.splitlines()
    for chain in graph["chains"]:
        for stage in chain["stages"]:
            assert stage["file"] == app
            assert lines[stage["line"] - 1] == f"def {stage['name']}(pkt):"
            assert stage["instructions"] > 0


def test_verdicts_name_reasons_chains_and_ports(graph: dict[str, Any]) -> None:
    first, last = graph["chains"][0]["stages"]
    assert [tuple(v.values()) for v in first["verdicts"]] == [
        ("next", ""),
        ("chain", "dns"),
        ("drop", "first"),
        ("drop", "too long"),
    ]
    assert [tuple(v.values()) for v in last["verdicts"]] == [("send", "0"), ("send", "1 - pkt.port")]
    assert graph["chains"][1]["stages"][0]["verdicts"] == [{"kind": "consume", "to": ""}]


def test_reads_and_writes_are_followed_through_names_and_helpers(graph: dict[str, Any]) -> None:
    first, last = graph["chains"][0]["stages"]
    assert first["reads"] == ["udp", "udp.sport", "udp.dport", "ipv4.src", "length"]
    assert first["writes"] == ["eth.src"]
    assert last["reads"] == ["flow key", "ipv4.ttl", "tcp.flag_syn", "port"]
    assert last["writes"] == ["ipv4.ttl", "checksums"]
    assert graph["needs"] == {
        "columns": True, "inner": False, "eth": True, "keys": True, "time": True, "port": True, "writes": True,
        "digests": True,
    }  # fmt: skip


def test_state_is_shown_with_its_layout(graph: dict[str, Any]) -> None:
    state = {s["names"][0]: s for s in graph["state"]}
    assert state.keys() == {"blocked", "hits", "flows", "queries"}
    assert state["blocked"] == {"names": ["blocked"], "kind": "PrefixSet", "prefixes": 2}
    assert state["hits"]["counter"] == "all hits"
    assert (state["queries"]["capacity"], state["queries"]["entry_bytes"]) == (64, 8)
    flows = state["flows"]
    assert (flows["capacity"], flows["record_at"], flows["entry_bytes"]) == (1000, 40, 64)
    assert [(f["name"], f["offset"], f["size"], f["cold"]) for f in flows["record"]["fields"]] == [
        ("bytes", 0, 8, False),
        ("packets", 8, 4, False),
        ("first_seen", 16, 8, True),
    ]


def test_every_drop_reason_of_the_program_is_named_once(graph: dict[str, Any]) -> None:
    reasons = graph["drop_reasons"]
    assert sorted(reasons["stages"]) == ["first", "too long"]
    assert reasons["errors"] == ["first: error", "last: error", "log: error"]
    assert reasons["engine"] == ["no such port", "send failed", "no buffer", "bad checksum", "writer full"]


def test_the_text_says_the_same(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, app)
    assert "1. first  (app.py:34)" in text
    assert 'goes on, to chain dns, drop "first", drop "too long"' in text
    assert "up to 1,000 flows, 64 bytes each: key 40, Flow 24" in text
    assert "16      8  first_seen  cold[u64]" in text
    assert "dispatch: fused" in text
    assert "no such port, send failed" in text


def test_the_dispatch_asked_for_is_explained_and_seen_in_the_ir(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, app, "--dispatch", "tail")
    assert "dispatch: tail (3 functions for 3 stages)" in text
    assert text.count("hop       as told") == 3
    ir = explained(capsys, app, "--dispatch", "tail", "--ir")
    assert "musttail call" in ir
    assert "define internal preserve_nonecc" in ir


def test_of_each_stage_it_is_said_how_it_is_reached_and_why(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = explained(capsys, app)
    about = json.loads(explained(capsys, app, "--json"))
    reached = [stage["hop"] for chain in about["chains"] for stage in chain["stages"]]
    assert len(reached) == 3
    assert all("at most 4000" in why and f"hop       {why}" in text for why in reached)


def test_the_machine_code_jumps_from_stage_to_stage(app: str, capsys: pytest.CaptureFixture[str]) -> None:
    assembly = explained(capsys, app, "--dispatch", "tail", "--asm")
    assert "hop_0_0:" in assembly
    assert any(line.split()[:2] in (["jmp", "hop_0_1"], ["b", "hop_0_1"]) for line in assembly.splitlines())


def test_what_cannot_be_compiled_is_told_as_by_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = tmp_path / "bad.py"
    app.write_text(
        "import burstline as bl\n\n@bl.stage\ndef bad(pkt):\n    return [bl.DROP][0]\n\np = bl.Pipeline(bad)\n"
    )
    assert main(["explain", str(app)]) == 1
    told = capsys.readouterr().err
    assert f"{app}:5:12: stage `bad` cannot be compiled" in told
    (tmp_path / "none.pcap").write_bytes(b"")
    assert main(["run", str(app), str(tmp_path / "none.pcap")]) == 1


# ---- verdicts, form by form ----


def outcomes(source: str, **names: Any) -> list[str]:
    return [f"{o.kind} {o.to}".strip() for o in facts_of(stage_of(source, **names)).outcomes]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("pass", ["next"]),
        ("return", ["next"]),
        ("return None", ["next"]),
        ("return bl.DROP if pkt.tcp else None", ["next", "drop s"]),
        ("return bl.drop('a') or bl.CONSUME", ["consume", "drop a"]),
        ("if pkt.tcp:\n  return bl.DROP\n else:\n  return bl.CONSUME", ["consume", "drop s"]),
        ("if pkt.tcp:\n  return bl.DROP", ["next", "drop s"]),
        ("while True:\n  return bl.CONSUME", ["consume"]),
        ("while True:\n  if pkt.tcp:\n   break", ["next"]),
        ("for i in range(3):\n  if pkt.port == i:\n   return bl.send(i)", ["next", "send i"]),
        ("v = bl.DROP\n v = v\n return v", ["drop s"]),
        ("return helper(pkt)", ["next", "drop late"]),
        ("return bl.send(PORT)", ["send 2"]),
        ("return VERDICTS[0]", ["unknown VERDICTS[0]"]),
    ],
)
def test_every_way_to_return_a_verdict_is_seen(body: str, found: list[str]) -> None:
    source = f"PORT = 2\ndef helper(p):\n if p.tcp:\n  return bl.drop('late')\ndef s(pkt):\n {body}\n"
    assert outcomes(source, VERDICTS=()) == found


def test_outcomes_read_as_text() -> None:
    assert [str(Outcome(*o)) for o in (("next", ""), ("send", "1"), ("unknown", "x[0]"))] == [
        "goes on",
        "send to port 1",
        "whatever x[0] is",
    ]


def test_burst_stages_and_predicates_say_what_becomes_of_their_packets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = tmp_path / "app.py"
    app.write_text("""import burstline as bl

@bl.predicate
def web(pkt):
    return pkt.tcp and pkt.tcp.dport == 443

@bl.burst_stage
def sort_out(pkts):
    return bl.where(pkts.length > 100, bl.CONSUME, bl.where(pkts.ipv4.ttl == 1, bl.drop("late")))

@bl.predicate
def is_long(pkt):
    return len(pkt.payload) > 20

pipeline = bl.Pipeline(web, sort_out, is_long)
""")
    said = explained(capsys, str(app))
    assert "1. web  (app.py:4), 16 packets at a time" in said
    assert "reads     tcp, tcp.dport" in said
    assert 'verdicts  goes on, drop "web"' in said
    assert 'verdicts  goes on, consumed, drop "late"' in said
    assert "3. is_long  (app.py:12)\n" in said
    assert 'verdicts  comes through, drop "is_long"' in said
    assert "vectors: " in said
    assert "of stages: web, is_long, late" in said


def test_the_assembly_of_a_burst_stage_is_of_the_level_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = tmp_path / "app.py"
    app.write_text(
        "import burstline as bl\n\n@bl.predicate\ndef web(pkt):\n    return pkt.tcp.dport == 443\n\n"
        "pipeline = bl.Pipeline(web)\n"
    )
    registers = {"avx512": "%zmm", "avx2": "%ymm", "sse": "%xmm"}
    for asked in level.known()[1:]:
        monkeypatch.setenv("BURSTLINE_SIMD", asked)
        assembly = explained(capsys, "--asm", str(app))
        wider = [r for name, r in registers.items() if name not in level.known()[: level.known().index(asked) + 1]]
        assert registers.get(asked, "") in assembly
        assert not any(register in assembly for register in wider)
