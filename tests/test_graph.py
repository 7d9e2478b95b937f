"""The graph of a pipeline: what went which way is counted the same in both modes and by hand, adds up, and is drawn."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import burstline as bl
from both_modes import pcap_of, run_both, stage_of
from burstline.cli import graph as drawing
from burstline.cli.graph import dot, svg, text, write
from burstline.cli.main import main
from burstline.engine.graph import balanced, graph_of
from burstline.engine.offline import FileRun
from burstline.engine.report import Count, Report
from scapy_frames import ARP4, ICMP6, TCP4, TCP_OPTIONS, UDP4
from test_bucketing import tree
from test_regions import graph as random_graph

FRAMES = [bytes(frame) for frame in (TCP4, UDP4, ICMP6, ARP4, TCP_OPTIONS)]


def app() -> bl.Pipeline:
    web = bl.Chain(
        stage_of("def short(pkt):\n    if pkt.length < 80:\n        return bl.DROP"),
        stage_of("def out(pkt):\n    return bl.send(pkt.length % 3)"),
        name="web",
    )
    names = bl.Chain(stage_of("def ask(pkt):\n    assert pkt.length % 2\n    return bl.CONSUME"), name="names")
    ways = bl.Branch({"tcp": web, "udp": names, "arp": bl.drop("no ARP")})
    first = stage_of("def first(pkt):\n    return None")
    return bl.Pipeline(first, stage_of("def sort_out(pkt):\n    return ways[pkt]", ways=ways))


def by_hand(frames: list[bytes]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}

    def add(stage: str, way: str) -> None:
        found[stage, way] = found.get((stage, way), 0) + 1

    for frame in frames:
        add("first", "next -> sort_out")
        kind = frame[:60]
        if kind[12:14] == b"\x08\x00":  # both TCP frames
            add("sort_out", "to web -> short")
            if len(frame) < 80:
                add("short", "drop -> dropped: short")
            else:
                add("short", "next -> out")
                add("out", f"send -> port {len(frame) % 3}")
        elif kind[12:14] == b"\x88\xa8":
            add("sort_out", "to names -> ask")
            add("ask", "consume -> consumed" if len(frame) % 2 else "drop -> dropped: ask: error")
        elif kind[12:14] == b"\x08\x06":
            add("sort_out", "drop -> dropped: no ARP")
        else:
            add("sort_out", "next -> through")
    return found


def counted(edges: Any, **fields: Any) -> Report:
    """A report of which only the edges are known."""
    return Report("", "compiled", edges=edges, **({"swaps": [0.0]} | fields))


def shown(pipeline: bl.Pipeline, edges: Any) -> dict[tuple[str, str], int]:
    graph = graph_of(pipeline, counted(edges))
    return {
        (graph.stages[w.source].stage, f"{w.label} -> {w.end or graph.stages[w.target or 0].stage}"): w.packets
        for w in graph.ways
        if w.packets
    }


@pytest.mark.parametrize("dispatch", ["fused", "tail", "called", "bucketed"])
def test_packets_are_counted_on_the_way_that_they_took(dispatch: str, tmp_path: Path) -> None:
    chance = random.Random(2)
    frames = [chance.choice(FRAMES) + bytes(chance.randrange(9)) for _ in range(500)]
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frames))
    pipeline = app()
    run = FileRun(pipeline, str(source), str(tmp_path / "out.pcap"), dispatch=dispatch)
    run.count_edges = True
    report = run.run()
    assert shown(pipeline, report.edges) == by_hand(frames)
    interpreted = run_both(app(), frames).interpreted.report
    assert interpreted.edges == report.edges
    assert not list(balanced(graph_of(pipeline, report), len(frames)))


@pytest.mark.parametrize("seed", range(3))
def test_on_any_graph_the_counts_of_both_modes_are_equal_and_add_up(seed: int, tmp_path: Path) -> None:
    frames = [frame + bytes(k % 7) for k, frame in enumerate(FRAMES * 20)]
    source = tmp_path / "in.pcap"
    source.write_bytes(pcap_of(frames))
    pipeline = random_graph(random.Random(seed)) if seed else tree(4, 1)
    run = FileRun(pipeline, str(source), None)
    run.count_edges = True
    report = run.run()
    assert report.edges == run_both(pipeline, frames).interpreted.report.edges
    assert not list(balanced(graph_of(pipeline, report), len(frames)))
    graph = graph_of(pipeline, counted(report.edges))
    assert not list(balanced(graph, len(frames)))
    ends: dict[str, int] = {}
    for way in graph.ways:
        if way.target is None:
            ends[way.end] = ends.get(way.end, 0) + (way.packets or 0)
    assert sum(ends.values()) == len(frames)
    for reason, count in report.drops.items():
        assert ends[f"dropped: {reason}"] == count.packets


def test_what_the_engine_drops_is_an_edge_by_name_too() -> None:
    edges = {(0, 0, "next", ""): 10, (0, 1, "chain", "1"): 10, (1, 0, "next", ""): 10, (1, 1, "send", "2"): 10}
    drops = {"no such port": Count(3, 0), "send failed": Count(2, 0)}
    report = counted(edges, swaps=[], received=Count(10, 0), sent=Count(5, 0), drops=drops)
    graph = graph_of(app(), report)
    assert not list(balanced(graph, 10))
    assert {way.end: way.packets for way in graph.ways if graph.stages[way.source].stage == "out" and way.end} == {
        "sent": 5, "dropped: no such port": 3, "dropped: send failed": 2,
    }  # fmt: skip
    assert "send to port 2 -> out" in text(graph)


def test_a_run_that_counts_nothing_costs_nothing() -> None:
    assert run_both(app(), FRAMES).compiled.report.edges == {}


def test_it_is_drawn_as_text_with_every_drop_by_name() -> None:
    lines = text(graph_of(app())).splitlines()
    assert [line.strip() for line in lines if line] == [
        "chain main", "1. first", "next -> sort_out", "2. sort_out", "next -> through", "to web -> short",
        "to names -> ask", "drop -> dropped: no ARP", "chain web", "1. short", "next -> out",
        "drop -> dropped: short", "2. out", "chain names", "1. ask", "consume -> consumed",
    ]  # fmt: skip


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not here")
def test_it_is_drawn_as_an_svg_with_its_counts() -> None:
    edges = {(0, 0, "next", ""): 12_345, (0, 1, "drop", "no ARP"): 12_345}
    source = dot(graph_of(app(), counted(edges)))
    picture = svg(source)
    assert "12,345" in picture
    for name in ("first", "sort_out", "short", "out", "ask", "dropped: no ARP", "consumed"):
        assert name in picture
    assert re.search(r'"dropped: no ARP"', source)


def test_without_graphviz_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.shutil, "which", lambda name: None)
    with pytest.raises(bl.BurstlineError) as caught:
        svg("digraph {}")
    assert "apt install graphviz" in (caught.value.hint or "")


APP = """
import burstline as bl

@bl.stage
def only(pkt):
    if pkt.tcp:
        return bl.drop("TCP")

pipeline = bl.Pipeline(only)
"""


@pytest.mark.parametrize("mode", [[], ["--interpret"]])
def test_a_run_writes_its_graph(mode: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, source, graph = tmp_path / "app.py", tmp_path / "in.pcap", tmp_path / "graph.json"
    file.write_text(APP)
    source.write_bytes(pcap_of(FRAMES))
    assert main(["run", str(file), str(source), "--graph", str(graph), *mode]) == 0
    assert {w["end"]: w["packets"] for w in json.loads(graph.read_text())["ways"]} == {
        "": 3,
        "consumed": 3,
        "dropped: TCP": 2,
    }
    assert main(["explain", str(file), "--run", str(source)]) == 0
    assert re.search(r"drop -> dropped: TCP +2$", capsys.readouterr().out, re.MULTILINE)
    assert main(["run", str(file), str(source), "--graph", str(tmp_path / "graph.png")]) == 2
    assert "end the name in" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(bl.UsageError, match="No such file"):
        write(graph_of(app()), tmp_path / "none" / "graph.txt")
