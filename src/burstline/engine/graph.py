"""The graph of a pipeline: stages, the ways out of each, and after a run the packets that took them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from burstline.compiler.stage_facts import facts_of
from burstline.engine.report import Edge, Report
from burstline.engine.worker import ENGINE_REASONS, SINK_FAILED
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


def balanced(graph: Graph, received: int) -> Iterable[str]:
    """Stages to which other packets came than left it: none, unless counting is wrong."""
    came = {0: received}
    for way in graph.ways:
        if way.target is not None:
            came[way.target] = came.get(way.target, 0) + (way.packets or 0)
    return [place.stage for number, place in enumerate(graph.stages) if came.get(number, 0) != place.packets]
