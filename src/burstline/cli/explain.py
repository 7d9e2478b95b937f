"""`burstline explain APP`: what a pipeline is compiled to: its graph, the optimised LLVM IR, the machine code."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from burstline.cli.graph import check_suffix, text, write
from burstline.compiler.stage_facts import Outcome, StageFacts, facts_of
from burstline.engine.app import load_app
from burstline.engine.config import DISPATCH, Config, load
from burstline.engine.graph import graph_of
from burstline.engine.preview import preview
from burstline.engine.program import Program, plan_of
from burstline.engine.worker import ENGINE_REASONS
from burstline.errors import UsageError
from burstline.native.struct import Layout
from burstline.packet.group_fields import LANES
from burstline.pipeline.burst_stage import BurstStage
from burstline.pipeline.pipeline import Pipeline
from burstline.simd import level
from burstline.state.base import State
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.pattern_set import PatternSet
from burstline.state.prefix_map import PrefixMap
from burstline.state.rule_set import RuleSet

NEEDS = {
    "columns": "headers are parsed",
    "inner": "and those in tunnels",
    "eth": "the Ethernet header is looked at",
    "keys": "flow keys and their hashes are made",
    "time": "time stamps are taken",
    "port": "the port's number is kept",
    "writes": "stages write to packets",
    "digests": "records are handed to Python",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", metavar="APP", help="a Python file with a pipeline; FILE:NAME picks one of several")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--ir", action="store_true", help="print the optimised LLVM IR of the whole program")
    what.add_argument("--asm", action="store_true", help="print its machine code for this host, as assembly")
    what.add_argument("--json", action="store_true", help="print the graph as one JSON object")
    parser.add_argument(
        "--source", choices=("pcap", "pcapng", "ports"), default="pcap", help="the loop around the stages"
    )
    parser.add_argument("--dispatch", choices=DISPATCH, help="how a stage hands a packet to the next")
    parser.add_argument("--run", metavar="SOURCE", help="run it over a capture or gen:..., and show packets by edge")
    parser.add_argument("--graph", type=Path, metavar="FILE", help="draw the graph: .svg .dot .txt .json")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (default: burstline.toml beside the app)")


def run(args: argparse.Namespace) -> int:
    config = load(args.config, Path(args.app.partition(":")[0])).with_overrides(dispatch=args.dispatch)
    config.engine.use_simd()
    pipeline = load_app(args.app)
    check_suffix(args.graph)
    if args.run or args.graph:
        return _graph(pipeline, args, config)
    program = preview(pipeline, args.source, config)
    if args.ir or args.asm:
        from burstline.compiler.compile import build_module
        from burstline.native.host import target_machine

        module, _ = build_module(pipeline, plan_of(program.plan))
        print(target_machine().emit_assembly(module) if args.asm else str(module))
        return 0
    about = described(pipeline, program)
    if args.json:
        print(json.dumps(about, indent=2))
    else:
        print("\n".join(lines(about)))
    return 0


def _graph(pipeline: Pipeline, args: argparse.Namespace, config: Config) -> int:
    """The graph alone, with the packets of a run where there is one."""
    report = None
    if args.run:
        from burstline.engine.offline import FileRun

        if args.run.startswith("dpdk:"):
            raise UsageError("explain runs over captures and generated traffic", "use `burstline run ... --graph FILE`")
        run = FileRun(
            pipeline, args.run, None, dispatch=config.engine.dispatch, tunnel_ports=config.parser.tunnel_ports,
            buffers=config.pools.buffers,
        )  # fmt: skip
        run.count_edges = True
        report = run.run()
    graph = graph_of(pipeline, report)
    if args.graph:
        write(graph, args.graph)
    else:
        print(text(graph))
    return 0


def described(pipeline: Pipeline, program: Program) -> dict[str, Any]:
    """What `--json` prints."""
    facts = {id(stage): facts_of(stage) for chain in pipeline.chains for stage in chain.stages}
    names: dict[int, list[str]] = {}
    for each in facts.values():
        for name, state in each.state.items():
            known = names.setdefault(id(state), [])
            if name not in known:
                known.append(name)
    hops = iter(program.hops)
    dropped = {o.to for each in facts.values() for o in each.outcomes if o.kind == "drop"}
    return {
        "pipeline": pipeline.name,
        "dispatch": program.dispatch,
        "dispatch_why": program.dispatch_why,
        "simd": {"level": level.used(), "bits": level.vector_bits()},
        "needs": {name: bool(program.plan[name]) for name in NEEDS},
        "chains": [
            {
                "name": chain.name,
                "stages": [_stage(facts[id(s)], *next(hops)) for s in chain.stages],
            }
            for chain in pipeline.chains
        ],
        "state": [_state(state, names.get(id(state), [])) for state in pipeline.state],
        "drop_reasons": {
            "stages": [r for r in program.reasons if r in dropped],
            "errors": [r for r in program.reasons if r.endswith(": error") and r not in dropped],
            "engine": [r for r in ENGINE_REASONS if r],
        },
    }


def _stage(facts: StageFacts, size: int, hop: str) -> dict[str, Any]:
    file, line = facts.place
    return {
        "name": facts.stage.name,
        "packets": LANES if isinstance(facts.stage, BurstStage) else 1,
        "file": file,
        "line": line,
        "reads": facts.reads,
        "writes": facts.writes,
        "state": list(facts.state),
        "verdicts": [outcome._asdict() for outcome in facts.outcomes],
        "instructions": size,
        "hop": hop,
    }


def _state(state: State, names: list[str]) -> dict[str, Any]:
    about: dict[str, Any] = {"names": names, "kind": type(state).__name__}
    if isinstance(state, FlowTable):
        about |= {
            "capacity": state.capacity,
            "key_bytes": state.keys.size,
            "record_at": state.geometry.record_at,
            "entry_bytes": state.geometry.stride,
        }
        about["record"] = _record(state.record.layout)
    elif isinstance(state, Digest):
        about |= {"capacity": state.capacity, "entry_bytes": state.stride, "record": _record(state.record.layout)}
    elif isinstance(state, PrefixMap):
        about["prefixes"] = len(state)
    elif isinstance(state, PatternSet):
        about["literals"] = len(state)
    elif isinstance(state, RuleSet):
        about["rules"] = len(state)
    elif isinstance(state, Counter):
        about["counter"] = state.name
    elif state.about():
        about["about"] = state.about()
    return about


def _record(layout: Layout) -> dict[str, Any]:
    fields = [
        {"name": s.name, "type": s.type.name, "offset": s.offset, "size": s.type.size, "cold": s.type.is_cold}
        for s in layout
    ]
    return {"name": layout.name, "size": layout.size, "fields": fields}


# ---- as text ----


def lines(about: Mapping[str, Any]) -> Iterator[str]:
    """The graph for a terminal."""
    yield f"pipeline {about['pipeline']}"
    needs = [text for name, text in NEEDS.items() if about["needs"][name]]
    if about["needs"]["columns"] or about["needs"]["keys"]:
        needs = [n for n in needs if n != NEEDS["eth"]]
    yield f"  of each packet: {'; '.join(needs) or 'nothing is looked at'}"
    yield f"  dispatch: {about['dispatch']} ({about['dispatch_why']})"
    if any(stage["packets"] > 1 for chain in about["chains"] for stage in chain["stages"]):
        yield f"  vectors: {about['simd']['level']}, {about['simd']['bits']} bits"
    for chain in about["chains"]:
        yield ""
        yield f"chain {chain['name']}"
        for place, stage in enumerate(chain["stages"]):
            yield from _stage_lines(stage, place, len(chain["stages"]))
    if about["state"]:
        yield ""
        yield "state, a copy for each worker"
        for state in about["state"]:
            yield from _state_lines(state)
    yield ""
    yield "drop reasons"
    for title, reasons in zip(
        ("of stages", "of stages that fail", "of the engine"), about["drop_reasons"].values(), strict=True
    ):
        if reasons:
            yield f"  {title}: {', '.join(reasons)}"


def _stage_lines(stage: Mapping[str, Any], place: int, count: int) -> Iterator[str]:
    grouped = f", {stage['packets']} packets at a time" if stage["packets"] > 1 else ""
    yield f"  {place + 1}. {stage['name']}  ({Path(stage['file']).name}:{stage['line']}){grouped}"
    onward = "goes on" if place + 1 < count else "comes through"
    verdicts = [str(Outcome(**v)) if v["kind"] != "next" else onward for v in stage["verdicts"]]
    for title, words in (
        ("reads", stage["reads"]),
        ("writes", stage["writes"]),
        ("state", stage["state"]),
        ("verdicts", verdicts),
    ):
        if words:
            yield f"       {title:9} {', '.join(words)}"
    yield f"       {'hop':9} {stage['hop']}"
    yield f"       {'size':9} {stage['instructions']} LLVM instructions, before they are optimised"


def _state_lines(state: Mapping[str, Any]) -> Iterator[str]:
    called = ", ".join(state["names"]) or "(unnamed)"
    record: Any = state.get("record")
    if state["kind"] == "FlowTable":
        spare, times = (
            state["entry_bytes"] - state["record_at"] - record["size"],
            state["record_at"] - state["key_bytes"],
        )
        what = (
            f"up to {state['capacity']:,} flows, {state['entry_bytes']} bytes each: key {state['key_bytes']}"
            + (f", times {times}" if times else "")
            + f", {record['name']} {record['size']}"
            + (f", to fill cache lines {spare}" if spare else "")
        )
    elif state["kind"] == "Digest":
        what = f"a ring of {state['capacity']:,} records {record['name']} of {state['entry_bytes']} bytes"
    elif "prefixes" in state:
        what = f"{state['prefixes']:,} prefix{'' if state['prefixes'] == 1 else 'es'}"
    elif "literals" in state:
        what = f"{state['literals']:,} literal{'' if state['literals'] == 1 else 's'}"
    elif "rules" in state:
        what = f"{state['rules']:,} rule{'' if state['rules'] == 1 else 's'}"
    else:
        what = state.get("counter", state.get("about", ""))
    yield f"  {called}: {state['kind']}{f', {what}' if what else ''}"
    if record:
        width = max(len(f["name"]) for f in record["fields"])
        yield f"       {'offset':>6}  {'bytes':>5}  field"
        for f in record["fields"]:
            yield f"       {f['offset']:>6}  {f['size']:>5}  {f['name']:{width}}  {f['type']}"
