"""`burstline layout APP`: what lies in which cache line, and the lines that a packet touches."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from burstline.engine.app import load_app
from burstline.engine.config import load
from burstline.engine.layout_report import layout_report
from burstline.engine.structure_report import cache_report, structure_report, structures_of
from burstline.errors import UsageError
from burstline.pipeline.accesses import accesses_of
from burstline.pipeline.bucketing import against_bucketing, worth_bucketing
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.profile import Profile, profile_of, save
from burstline.state.digest import Digest

MOST = 12  # paths that are printed
KERNELS = 3  # that are named for each field, and when


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="a Python file with a pipeline; FILE:NAME picks one of several")
    parser.add_argument("--json", action="store_true", help="print all of it as one JSON object")
    parser.add_argument(
        "--engine", action="store_true", help="print the burst's columns and the engine's structures too"
    )
    parser.add_argument(
        "--profile", metavar="SOURCE", help="run it over a capture or gen:..., and count by its packets"
    )
    parser.add_argument("--save", action="store_true", help="keep the profile beside the app, for all runs of it")
    parser.add_argument("--source", choices=("pcap", "pcapng", "ports"), default="pcap", help="where packets come from")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml beside the app)")


def run(args: argparse.Namespace) -> int:
    config = load(args.config, Path(args.app.partition(":")[0]))
    pipeline = load_app(args.app)
    if args.save and not args.profile:
        raise UsageError("--save keeps a profile, and there is none", "give --profile SOURCE too")
    profile = _profiled(pipeline, args.profile) if args.profile else pipeline.profile
    kept = profile_of(Path(args.app.partition(":")[0]))
    if args.save and profile is not None:
        save(kept, pipeline, profile)
    accesses = accesses_of(pipeline, profile)
    bucketed = worth_bucketing(pipeline) and against_bucketing(pipeline, 1) is None
    about = {
        "pipeline": pipeline.name,
        "profile": args.profile or (kept.name if profile is not None else None),
        **layout_report(accesses, needs_of(pipeline), args.source, bucketed=bucketed),
    }
    about["burst"] |= cache_report(about["burst"]["bytes"], config.engine.most_burst, args.source)
    about["structures"] = structure_report(structures_of(accesses.state, args.source))
    print(json.dumps(about, indent=2) if args.json else "\n".join(lines(about, engine=args.engine)))
    return 0


def _profiled(pipeline: Pipeline, source: str) -> Profile:
    """Packets by edge, of a whole run; and the branches that its first packets take, interpreted. Records that would be
    handed to the application are not."""
    from burstline.engine.branch_counts import count_branches
    from burstline.engine.offline import FileRun

    if source.startswith("dpdk:"):
        raise UsageError("a profile is of a capture or of generated traffic", "capture some of it, and give that file")
    for state in pipeline.state:
        if isinstance(state, Digest):
            state.batches(lambda batch: None)
    run = FileRun(pipeline, source, None)
    run.count_edges = True
    edges = run.run().edges
    return Profile(edges, count_branches(pipeline, source) if source != "-" else {})


# ---- as text ----


def lines(about: Mapping[str, Any], *, engine: bool) -> Iterator[str]:
    """For a terminal."""
    for record in about["records"]:
        yield from _record(record)
        yield ""
    yield from _paths(about)
    yield ""
    burst = about["burst"]
    yield f"burst: {burst['bytes']} bytes of columns a packet"
    if engine:
        yield from _burst(burst)
        for structure in about["structures"]:
            yield ""
            yield f"{structure['name']}, {structure['bytes']} bytes"
            yield from _drawn(
                [(f"line {line['line']}", [(p, _kernels(p)) for p in line["pieces"]]) for line in structure["lines"]]
            )


def _record(record: Mapping[str, Any]) -> Iterator[str]:
    size = record["bytes"]
    key = f", behind {record['begins_at']} bytes of key" if record["begins_at"] else ""
    yield f"record {record['name']} of {record['state']}, a {record['kind']}{key}"
    if record["before"] == record["after"]:
        yield f"  as declared, and as laid out: {size['hot']} bytes"
        yield from _drawn(_of_record(record["after"], record["begins_at"]))
        return
    yield f"  as declared, as C lays it out: {size['before']} bytes"
    yield from _drawn(_of_record(record["before"], record["begins_at"]))
    cold = f", and {size['cold']} elsewhere" if size["cold"] else ""
    yield f"  as laid out: {size['hot']} bytes{cold}"
    yield from _drawn(_of_record(record["after"], record["begins_at"]))


Drawn = Sequence[tuple[str, Sequence[tuple[Mapping[str, Any], str]]]]  # lines by name: pieces, and what is said of each


def _of_record(drawn: Sequence[Mapping[str, Any]], begins: int) -> Drawn:
    found = []
    for line in drawn:
        cold = "cold " if line["half"] == "cold" else ""
        pieces = [(p, "" if p["field"] is None else _stages(p["users"])) for p in line["pieces"]]
        found.append((f"{cold}line {line['line']}", pieces))
    return found


def _drawn(drawn: Drawn) -> Iterator[str]:
    title = max((len(name) for name, _ in drawn), default=0)
    width = max((len(p["field"] or "(padding)") for _, pieces in drawn for p, _ in pieces), default=0)
    for name, pieces in drawn:
        for k, (piece, said) in enumerate(pieces):
            field = piece["field"] or "(padding)"
            place = f"{name if k == 0 else '':{title}}  {piece['offset']:>2}  {piece['bytes']:>4}"
            yield f"    {place}  {field:{width}}  {said}".rstrip()


def _stages(users: Sequence[Mapping[str, Any]]) -> str:
    """`count rw 1.00`: how often a stage reads and writes, for each packet of the pipeline."""
    return ", ".join(f"{u['stage']} {_often(u['reads'], u['writes'])}" for u in users) or "no stage"


def _often(reads: float, writes: float) -> str:
    if abs(reads - writes) < 0.005:
        return f"rw {reads:.2f}"
    return " ".join(f"{how} {n:.2f}" for how, n in (("r", reads), ("w", writes)) if n >= 0.005) or "seldom"


def _paths(about: Mapping[str, Any]) -> Iterator[str]:
    yield "cache lines that a packet touches" + (f", by {about['profile']}" if about["profile"] else "")
    yield "  packets  metadata  header  index  record  if declared  path"
    for path in about["paths"][:MOST]:
        way = " -> ".join((*path["stages"], path["end"]))
        yield f"  {100 * path['share']:>6.1f}%  {_numbers(path)}  {way}"
    if len(about["paths"]) > MOST:
        share = sum(path["share"] for path in about["paths"][MOST:])
        yield f"  {100 * share:>6.1f}%  {'':48}{len(about['paths']) - MOST} more paths"
    yield f"  {'mean':>7}  {_numbers(about['packet'])}"
    if about["uncounted"]:
        yield "  not counted: lookups in " + ", ".join(f"{s['state']} ({s['kind']})" for s in about["uncounted"])


def _numbers(of: Mapping[str, float]) -> str:
    columns = (("metadata", 8), ("header", 6), ("bucket", 5), ("state", 6), ("declared", 11))
    return "  ".join(f"{of[name]:>{width}.2f}" for name, width in columns)


def _burst(burst: Mapping[str, Any]) -> Iterator[str]:
    for column in burst["columns"]:
        yield f"    {column['bytes']:>2}  {column['name']:16} by the {column['writer']}"
    taken = f"{burst['packets']:,} packets take {burst['taken'] / 1024:,.0f} KiB"
    if burst["share"] is None:
        yield f"  {taken}; the kernel does not tell the size of {burst['cache']}"
    else:
        yield f"  {taken}, {100 * burst['share']:.0f} % of {burst['cache']}, {burst['cache_bytes'] // 1024:,} KiB"


def _kernels(piece: Mapping[str, Any]) -> str:
    """Who touches a field of the engine's: for each packet, and now and then."""
    if piece["field"] is None:
        return ""
    parts = []
    for each_packet, when in ((True, "each packet: "), (False, "")):
        by_kernel: dict[str, list[str]] = {}
        for use in piece["uses"]:
            if use["each_packet"] == each_packet:
                by_kernel.setdefault(use["kernel"], []).append(use["how"])
        if by_kernel:
            said = [f"{kernel} {' and '.join(sorted(hows))}" for kernel, hows in by_kernel.items()]
            more = f" and {len(said) - KERNELS} more" if len(said) > KERNELS else ""
            parts.append(when + ", ".join(said[:KERNELS]) + more)
    return "; ".join(parts) or "no kernel"
