"""The graph of a pipeline: stages, the ways out of each, and after a run the packets that took them.

`--graph FILE` writes it as text, as JSON, in Graphviz's language, or as an SVG that Graphviz draws.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from burstline.compiler.stage_facts import facts_of
from burstline.engine.report import Edge, Report
from burstline.engine.worker import ENGINE_REASONS, SINK_FAILED
from burstline.errors import BurstlineError, UsageError
from burstline.pipeline.pipeline import Pipeline, targets

KINDS = ("next", "chain", "send", "consume", "drop", "error")
ENDS = {"next": "through", "consume": "consumed"}


@dataclass(frozen=True)
class Way:
    """An edge: from a stage, by its number in `Graph.stages`, to another, or to an end that is named."""

    source: int
    kind: str
    label: str
    target: int | None
    end: str
    packets: int | None


@dataclass(frozen=True)
class Place:
    """A stage where it stands: `packets` came to it, None where they were not counted."""

    chain: str
    place: int
    stage: str
    packets: int | None


@dataclass(frozen=True)
class Graph:
    name: str
    stages: list[Place]
    ways: list[Way]


def graph_of(pipeline: Pipeline, report: Report | None = None) -> Graph:
    """The ways that the stages' source shows and, after a run that counted, all that any packet took.

    What the engine does with packets that leave, its own drops included, is the last place, "out"; not after a swap,
    since the report then has the packets of several pipelines.
    """
    counts = report.edges if report else None
    first, number = [], 0
    for chain in pipeline.chains:
        first.append(number)
        number += len(chain.stages)
    ways: list[Way] = []
    for edge in sorted({*_static(pipeline), *(counts or {})}, key=lambda e: (*e[:2], KINDS.index(e[2]), e[3])):
        packets = None if counts is None else counts.get(edge, 0)
        ways.append(_way(pipeline, first, edge, packets))
    came = dict.fromkeys(range(number), 0)
    for way in ways:
        came[way.source] += way.packets or 0
    stages = [
        Place(chain.name, place, stage.name, None if counts is None else came[first[k] + place])
        for k, chain in enumerate(pipeline.chains)
        for place, stage in enumerate(chain.stages)
    ]
    graph = Graph(pipeline.name, stages, ways)
    return graph if report is None or report.swaps else _with_leaving(graph, report)


def _with_leaving(graph: Graph, report: Report) -> Graph:
    """The ways that lead out of the last stages go on to what became of the packets."""
    out = len(graph.stages)
    if not any(w.packets for w in graph.ways if w.kind in ("next", "send") and w.target is None):
        return graph
    ways = [
        replace(w, label=f"{w.label} to {w.end}" if w.kind == "send" else w.label, target=out, end="")
        if w.kind in ("next", "send") and w.target is None
        else w
        for w in graph.ways
    ]
    consumed = report.consumed.packets - sum(w.packets or 0 for w in ways if w.kind == "consume")
    drops = [
        (f"dropped: {r}", report.drops[r].packets) for r in (*ENGINE_REASONS[1:], SINK_FAILED) if r in report.drops
    ]
    for kind, end, packets in (
        ("send", "sent", report.sent.packets),
        ("consume", "consumed", consumed),
        *(("drop", end, packets) for end, packets in drops),
    ):
        if packets:
            ways.append(Way(out, kind, kind, None, end, packets))
    leaving = sum(w.packets or 0 for w in ways if w.source == out)
    return Graph(graph.name, [*graph.stages, Place("out", 0, "out", leaving)], ways)


def _static(pipeline: Pipeline) -> Iterator[Edge]:
    for number, chain in enumerate(pipeline.chains):
        for place, stage in enumerate(chain.stages):
            for outcome in facts_of(stage).outcomes:
                if outcome.kind in ("next", "consume"):
                    yield number, place, outcome.kind, ""
                elif outcome.kind == "drop" or (outcome.kind == "send" and outcome.to.isdecimal()):
                    yield number, place, outcome.kind, outcome.to
            for target in targets(stage):
                yield number, place, "chain", str(pipeline.chains.index(target))


def _way(pipeline: Pipeline, first: list[int], edge: Edge, packets: int | None) -> Way:
    chain, place, kind, to = edge
    source = first[chain] + place
    stage = pipeline.chains[chain].stages[place].name
    if kind == "next" and place + 1 < len(pipeline.chains[chain].stages):
        return Way(source, kind, "next", source + 1, "", packets)
    if kind == "chain":
        return Way(source, kind, f"to {pipeline.chains[int(to)].name}", first[int(to)], "", packets)
    if kind == "send":
        return Way(source, kind, "send", None, f"port {to}", packets)
    if kind in ENDS:
        return Way(source, kind, kind, None, ENDS[kind], packets)
    return Way(source, kind, "drop", None, f"dropped: {to or f'{stage}: error'}", packets)


# ---- drawn ----


def text(graph: Graph) -> str:
    """For a terminal: each stage, and under it the ways out."""
    rows: list[tuple[str, int | None]] = []
    for number, place in enumerate(graph.stages):
        if place.place == 0:
            rows += [("", None)] if rows else []
            rows.append((f"chain {place.chain}", None))
        rows.append((f"  {place.place + 1}. {place.stage}", place.packets))
        for way in graph.ways:
            if way.source == number:
                to = way.end if way.target is None else graph.stages[way.target].stage
                rows.append((f"       {way.label} -> {to}", way.packets))
    width = max(len(line) for line, _ in rows)
    return "\n".join(f"{line:<{width}}  {count:>15,}" if count is not None else line for line, count in rows)


def dot(graph: Graph) -> str:
    """In Graphviz's language. The more packets took a way, the thicker it is drawn."""
    most = max((way.packets or 0 for way in graph.ways), default=0)
    lines = [
        f'digraph "{_quoted(graph.name)}" {{',
        '  rankdir=LR; fontname="Helvetica"; fontsize=11;',
        '  node [shape=box, style="rounded,filled", fillcolor="#d9e8f5", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, color="#606060", arrowsize=0.7];',
    ]
    chains: dict[str, list[int]] = {}
    for number, place in enumerate(graph.stages):
        chains.setdefault(f"{number - place.place}", []).append(number)
    for first, numbers in chains.items():
        lines.append(
            f'  subgraph cluster_{first} {{ label="{_quoted(graph.stages[int(first)].chain)}"; color="#b0b0b0";'
        )
        lines += [
            f'    s{n} [label="{_quoted(graph.stages[n].stage)}{_counted(graph.stages[n].packets)}"];' for n in numbers
        ]
        lines.append("  }")
    ends = dict.fromkeys(way.end for way in graph.ways if way.target is None)
    for end in ends:
        colour = "#f6d9d9" if end.startswith("dropped") else "#d8f0d8"
        lines.append(f'  "{_quoted(end)}" [shape=plaintext, style=filled, fillcolor="{colour}"];')
    for way in graph.ways:
        to = f"s{way.target}" if way.target is not None else f'"{_quoted(way.end)}"'
        share = (way.packets or 0) / most if most else 0
        style = f", penwidth={1 + 4 * share:.1f}" + ("" if way.packets is None or way.packets else ", style=dotted")
        lines.append(f'  s{way.source} -> {to} [label="{_quoted(way.label)}{_counted(way.packets)}"{style}];')
    return "\n".join([*lines, "}", ""])


def _quoted(words: str) -> str:
    return words.replace("\\", "\\\\").replace('"', '\\"')


def _counted(packets: int | None) -> str:
    return "" if packets is None else f"\\n{packets:,}"


def svg(source: str) -> str:
    """A picture of a graph in Graphviz's language. Raises BurstlineError where Graphviz is not there."""
    program = shutil.which("dot")
    if program is None:
        raise BurstlineError(
            "an SVG is drawn by Graphviz, which is not here", "apt install graphviz, or write a .dot file"
        )
    done = subprocess.run([program, "-Tsvg"], input=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BurstlineError(f"Graphviz fails: {done.stderr.strip()}", "write a .dot file, and look at it")
    return done.stdout


SUFFIXES = (".txt", ".json", ".dot", ".svg")


def check_suffix(path: Path | None) -> None:
    """Before a run: raises UsageError for a file that the graph cannot be written to in the end."""
    if path is not None and path.suffix not in SUFFIXES:
        raise UsageError(f"--graph {path}: of what kind?", f"end the name in {', '.join(SUFFIXES)}")
    if path is not None and path.suffix == ".svg":
        svg("digraph {}")


def write(graph: Graph, path: Path) -> None:
    """To a file, in the form that its suffix says."""
    check_suffix(path)
    made = {
        ".txt": lambda: text(graph) + "\n",
        ".json": lambda: json.dumps(asdict(graph), indent=2) + "\n",
        ".dot": lambda: dot(graph),
        ".svg": lambda: svg(dot(graph)),
    }[path.suffix]()
    try:
        path.write_text(made)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give a file that can be written to --graph") from error


def balanced(graph: Graph, received: int) -> Iterable[str]:
    """Stages to which other packets came than left it: none, unless counting is wrong."""
    came = {0: received}
    for way in graph.ways:
        if way.target is not None:
            came[way.target] = came.get(way.target, 0) + (way.packets or 0)
    return [place.stage for number, place in enumerate(graph.stages) if came.get(number, 0) != place.packets]
