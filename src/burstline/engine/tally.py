"""From workers' counts to a report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from burstline.engine.burst_costs import costs_by_name
from burstline.engine.report import Count, Edge, Report
from burstline.engine.worker import SINK_FAILED, TALLY
from burstline.errors import BurstlineError
from burstline.pipeline.pipeline import Pipeline
from burstline.ports.capture_format import LINKTYPE_ETHERNET
from burstline.ports.capture_sink import CaptureSink
from burstline.state.region import Block, Region

EdgeCounters = tuple[Region | None, Sequence[Edge]]  # of a worker: a counter for each of these, where it counts them


def add_up(report: Report, workers: Iterable[Block], drops: Mapping[str, Count]) -> None:
    """Fill the report's counts from all workers' contexts, and what was dropped by reason."""
    for worker in workers:
        report.received += Count(worker.get("packets_in"), worker.get("bytes_in"))
        report.made += Count(worker.get("made"), worker.get("bytes_made"))
        report.sent += Count(worker.get("packets_out"), worker.get("bytes_out"))
        report.consumed += Count(worker.get("consumed"), worker.get("bytes_consumed"))
    report.drops.update(drops)


def add_up_directed(
    report: Report,
    director: Block,
    workers: Sequence[Block],
    drops: Mapping[str, Count],
    directed: Mapping[str, Count],
    passed: Sequence[Count],
) -> None:
    """The same where packets of some ports come to the workers, and leave them, by way of a director: what it `passed`
    on to them, and they to it, was received twice and sent twice."""
    add_up(report, [*workers, director], {})
    twice = sum(passed, Count())
    report.received -= twice
    report.sent -= twice
    for reason in {**drops, **directed}:
        report.drops[reason] = drops.get(reason, Count()) + directed.get(reason, Count())


def add_drops(drops: dict[str, Count], tallies: Region, reasons: Sequence[str]) -> None:
    """Add a worker's tallies, one for each of `reasons`, to what was dropped by name."""
    for number, reason in enumerate(reasons):
        count = Count(tallies.i64(number * TALLY), tallies.i64(number * TALLY + 8))
        if count.packets:
            drops[reason] = drops.get(reason, Count()) + count


def sum_edges(counters: Iterable[EdgeCounters]) -> dict[Edge, int]:
    """Packets on each way out of each stage, of all workers; ways that none took are left out."""
    found: dict[Edge, int] = {}
    for region, edges in counters:
        for number, edge in enumerate(edges if region else ()):
            assert region is not None
            packets = region.i64(8 * number)
            if packets:
                key: Edge = (edge[0], edge[1], edge[2], edge[3])  # the cache has lists
                found[key] = found.get(key, 0) + packets
    return found


def add_costs(report: Report, pipeline: Pipeline, phases: Sequence[Region], hz: float) -> None:
    """What packets cost, from the counters of edges, which are left without them, and each worker's of its phases."""
    timed = {edge: count for edge, count in report.edges.items() if edge[2] in ("cycles", "timed")}
    report.edges = {edge: count for edge, count in report.edges.items() if edge not in timed}
    report.costs = [cost.as_json() for cost in costs_by_name(timed, pipeline, phases, hz)]


def close_sink(report: Report, sink: CaptureSink, linktype: int = LINKTYPE_ETHERNET) -> None:
    """Close the file. When that fails, what was meant for it and is not in it counts as dropped; then raise."""
    try:
        sink.close(linktype)
    except BurstlineError:
        kept = Count(*sink.kept)
        lost = Count(report.sent.packets - kept.packets, report.sent.bytes - kept.bytes)
        if lost.packets:
            report.sent = kept
            report.drops[SINK_FAILED] = lost
        raise
