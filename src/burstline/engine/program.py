"""A pipeline's machine code: from the cache or freshly compiled, and linked once per worker with its own state."""

from __future__ import annotations

import ctypes
import itertools
import threading
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import llvmlite.binding as llvm

from burstline.engine.burst_costs import BURST_CLASS, CLASSES
from burstline.engine.traffic_watch import watched_needs
from burstline.engine.worker import ENGINE_REASONS, TALLY, Entry, FileWorker, PortWorker
from burstline.errors import UsageError
from burstline.native import cache, host
from burstline.packet.burst import Burst
from burstline.packet.machine import USUAL_PORTS, Machine, TunnelPorts
from burstline.packet.made import MADE
from burstline.pipeline.bucketing import against_bucketing, worth_bucketing
from burstline.pipeline.fingerprint import fingerprint
from burstline.pipeline.layouts import lay_out_records
from burstline.pipeline.needs import Needs, needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.state.counter import COUNTERS, Counter, CounterBlock
from burstline.state.region import Block, Region

if TYPE_CHECKING:
    from burstline.compiler.compile import Plan

_numbers = itertools.count()
EDGES = "burstline_edges"  # as compiler/chain.py calls the counters of edges
_compiling = threading.Lock()  # Numba is not made for two threads at a time


class Program:
    """Object code for a pipeline, and what one must know to use it."""

    def __init__(
        self, pipeline: Pipeline, plan: Mapping[str, Any], code: bytes, about: dict[str, Any], key: str = ""
    ) -> None:
        self.key = key  # in the cache
        self.pipeline = pipeline
        self.plan = plan
        self.code = code
        self.entry: str = about["entry"]
        self.reasons: list[str] = about["reasons"]
        self.dispatch: str = about["dispatch"]
        self.dispatch_why: str = about["dispatch_why"]
        self.hops: list[tuple[int, str]] = about["hops"]
        self.edges: list[tuple[int, int, str, str]] = about["edges"]


class Instance:
    """The program linked for one worker, with that worker's copy of all state: `entry` is its way in.

    The machine code is there for as long as this object is.
    """

    def __init__(self, program: Program, worker: int = 0, extra: Mapping[str, int] = {}) -> None:
        jit = _jit()
        builder = llvm.JITLibraryBuilder().add_object_img(program.code).export_symbol(program.entry)
        self.counters = CounterBlock([s for s in program.pipeline.state if isinstance(s, Counter)])
        builder.import_symbol(COUNTERS, self.counters.address)
        for state in program.pipeline.state:
            if not isinstance(state, Counter):
                builder.import_symbol(state.symbol, state.address(worker))
        self.edges = Region(8 * len(program.edges)) if program.edges else None
        self.made = Region(64) if program.plan.get("makes") else None
        if self.made:
            builder.import_symbol(MADE, self.made.address)
        if self.edges:
            builder.import_symbol(EDGES, self.edges.address)
        self.burst_class = Region(64) if program.plan.get("costs") else None
        if self.burst_class:
            builder.import_symbol(BURST_CLASS, self.burst_class.address)
        for name, address in extra.items():
            builder.import_symbol(name, address)
        self._library = builder.add_current_process().link(jit, f"worker{next(_numbers)}")
        self.function: int = self._library[program.entry]
        self.tallies = Region(len(program.reasons) * TALLY)
        self.entry = Block(Entry.layout)
        self.entry.set(function=self.function, tallies=self.tallies.address)

    def run(self, context: Block) -> int:
        """Call the loop itself, of a context that no other version is to work on. Releases the GIL."""
        return int(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(self.function)(context.address))


_engine: list[Any] = []


def _jit() -> Any:
    if not _engine:
        host.initialise()
        _engine.append(llvm.create_lljit_compiler(host.target_machine()))
    return _engine[0]


def prepare(
    pipeline: Pipeline,
    *,
    mode: str,
    capacity: int,
    workers: int,
    dispatch: str,
    source: str = "pcap",
    sink: str = "",
    tunnel_ports: TunnelPorts = USUAL_PORTS,
    edges: bool = False,
    costs: bool = False,
    makes: bool = False,
    moves: bool = False,
    watched: bool = False,
) -> Program:
    """The program for a pipeline; compiles when the cache has none. Raises `CompileError`.

    `mode` is file, ports, or sift (moves/sift_kernel.py). `source` and `sink` are formats of capture files, `sink`
    empty when none is written. With `edges`, packets are counted on each way out of each stage; with `costs`, on ports,
    also what they cost by the size of their burst. With `moves`, on ports, flows can move to other workers. With
    `makes`, the loop is one that writes what stages made, also where its own make nothing: those of the version before
    may have. `watched`, on ports: each worker's context has a TrafficWatch.
    """
    name_state(pipeline)
    lay_out_records(pipeline)
    needs = needs_of(pipeline, workers)
    needs = replace(needs, makes=True) if makes else needs
    needs = watched_needs(needs) if watched else needs
    plan = {
        "mode": mode,
        "capacity": capacity,
        "dispatch": _bucketed(pipeline, workers, dispatch) if dispatch in ("auto", "bucketed") else dispatch,
        "source": source,
        "sink": sink,
        "tunnel_ports": tunnel_ports,
        "protocols": pipeline.protocols,
        "edges": edges,
        "costs": costs,
        "chains": len(pipeline.chains),
        **asdict(needs),
        **({"moves": True} if moves else {}),
        **({"watched": True} if watched else {}),
    }
    key = cache.key_of([*sorted(plan.items()), *fingerprint(pipeline)])
    found = cache.load(key)
    if found is None:
        with _compiling:
            from burstline.compiler.compile import compile_pipeline

            code = compile_pipeline(pipeline, plan_of(plan))
        found = code.object, code.about()
        cache.save(key, *found)
    return Program(pipeline, plan, *found, key)


def rehearse(program: Program) -> None:
    """Lower the program's functions though it came from the cache, so that a change of one finds the others done."""
    with _compiling:
        from burstline.compiler.compile import lower_pipeline

        lower_pipeline(program.pipeline, plan_of(program.plan))


def _bucketed(pipeline: Pipeline, workers: int, dispatch: str) -> str:
    """`bucketed` where that is told, or better and possible; else `auto`."""
    against = against_bucketing(pipeline, workers)
    if dispatch == "bucketed" and against:
        raise UsageError(f"the stages cannot be run in buckets: {against}", "use --dispatch auto")
    return "bucketed" if dispatch == "bucketed" or (worth_bucketing(pipeline) and not against) else "auto"


def name_state(pipeline: Pipeline) -> None:
    """State objects become symbols by their place in the pipeline."""
    for number, state in enumerate(pipeline.state):
        state.symbol = f"burstline_state_{number}"


def plan_of(plan: Mapping[str, Any]) -> Plan:
    """The compiler's plan, with the loop for this kind of source. Imports the compiler."""
    from burstline.compiler.compile import Plan
    from burstline.engine.made_kernel import file_makers, live_makers
    from burstline.packet.burst_type import burst_reference

    burst = Burst(plan["capacity"])
    needs = Needs(**{name: plan[name] for name in Needs.__dataclass_fields__})
    machine = Machine(needs.tunnels, plan.get("tunnel_ports", USUAL_PORTS), plan.get("protocols", ()))
    burst_at = burst_reference(burst)
    loop: Any
    buckets = clone = emit = None
    if plan["dispatch"] == "bucketed":
        from burstline.engine.bucket_kernel import bucket_runner

        buckets = bucket_runner(plan["chains"], burst.capacity, needs.flows)
    if plan["mode"] == "file":
        from burstline.engine.file_kernel import file_loop

        loop, context = file_loop(needs, machine, burst_at, plan["source"], plan["sink"], buckets), FileWorker.layout
        clone, emit = file_makers(needs, burst_at) if needs.makes else (None, None)
    elif plan["mode"] == "sift":
        from burstline.engine.moves.sift_kernel import sift_loop
        from burstline.state.flow_moves import Sifting

        loop, context = sift_loop(needs, machine, burst_at), Sifting.layout
    else:
        from burstline.engine.port_kernel import port_loop

        costs, moves, watched = (plan.get(name, False) for name in ("costs", "moves", "watched"))
        loop = port_loop(needs, machine, burst_at, plan["sink"], buckets, costs, moves, watched)
        context = PortWorker.layout
        clone, emit = live_makers(needs, burst_at) if needs.makes else (None, None)
    entry = f"burstline_work_{plan['mode']}"
    edges = plan.get("edges", False)
    return Plan(
        burst, loop, context, entry, ENGINE_REASONS, needs, machine, plan["dispatch"], edges, clone, emit,
        cost_classes=CLASSES if plan.get("costs") else 0,
    )  # fmt: skip
