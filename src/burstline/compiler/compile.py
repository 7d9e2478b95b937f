"""A pipeline becomes one object file: stages, chain, kernels and the engine's loop, linked and optimised together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
from numba.core import types

from burstline.compiler import branch_type, kinds, packet_type, protocol_type, regions  # noqa: F401  they teach Numba the types
from burstline.compiler.burst_stages import DECIDE, GROUP, GroupStage, group_ir, spoken_for
from burstline.compiler.chain import ENTER, ENTER_CHAIN, EdgeCounters, Hop, chain_ir
from burstline.compiler.check import check_stage
from burstline.compiler.content import content
from burstline.compiler.counters import BEGIN_COUNTS, adding, counters_of, naming, sums_in_registers
from burstline.compiler.decide_kernel import decider
from burstline.compiler.entropy_type import ENTROPY as ENTROPY  # it teaches Numba the function
from burstline.compiler.group_type import GroupType, VerdictsType
from burstline.compiler.kernels import kernel_ir
from burstline.compiler.packet_type import PacketType
from burstline.compiler.parser import Parser
from burstline.compiler.proof import refuse_forbidden
from burstline.compiler.protocol_type import ProtocolNumbers
from burstline.compiler.translate import explained
from burstline.compiler.verdict_type import VERDICT, Numbers, with_numbers
from burstline.native.build import Build, undefined, wrapper_ir
from burstline.native.host import target_machine
from burstline.native.struct import Layout
from burstline.native.struct_type import StructRefType
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_reference
from burstline.packet.checksum import sum16
from burstline.packet.checksum_kernel import sum16_in_vectors
from burstline.packet.group_fields import LANES
from burstline.packet.machine import Machine
from burstline.packet.made import CLONE, EMIT, MADE
from burstline.pipeline.burst_stage import BurstStage
from burstline.pipeline.needs import Needs
from burstline.pipeline.pipeline import Pipeline, targets
from burstline.pipeline.stage import Stage
from burstline.simd import vector_moves as vector_moves  # it teaches Numba vectors


@dataclass(frozen=True)
class Plan:
    """What is to be compiled, besides the pipeline itself."""

    burst: Burst
    loop: Callable[[Any], int]  # the engine's loop around the chain: a function of its context, to be compiled
    context: Layout  # of that context
    entry: str  # what the loop is called in the object
    reasons: tuple[str, ...]  # drop reasons of the engine's own; number 0 is the stage's that said DROP
    needs: Needs  # of each packet
    machine: Machine  # the parser
    dispatch: regions.Dispatch = "auto"
    edges: bool = False  # packets are counted on each way out of each stage
    clone: Callable[[int, int, int], int] | None = None  # what makes packets for stages, where they do
    emit: Callable[[int, int, int, int], int] | None = None
    cost_classes: int = 0  # of bursts by which it is counted what stages cost; 0: it is not


@dataclass
class Code:
    """A compiled pipeline: the object file and what one must know to use it."""

    object: bytes
    entry: str
    reasons: list[str]  # drop reasons by number
    dispatch: str
    dispatch_why: str
    hops: list[tuple[int, str]] = field(default_factory=list)  # of each stage: its size, how it is reached and why
    edges: list[tuple[int, int, str, str]] = field(default_factory=list)  # chain.EdgeCounters, where they are counted

    def about(self) -> dict[str, Any]:
        """Everything but the object, for the cache."""
        return {k: v for k, v in asdict(self).items() if k != "object"}


@dataclass
class Parts:
    """A pipeline in LLVM IR, not linked yet."""

    build: Build
    glue: str  # the chain, the kernels that stages call by name, the way in
    inline: list[str]  # symbols of what is to be inlined whatever its size
    made: dict[Stage, set[str]]  # the IR that was made for each stage
    code: Code
    first: Callable[[llvm.ModuleRef], None]


def lower_pipeline(pipeline: Pipeline, plan: Plan) -> Parts:
    """Everything but linking. Raises `CompileError` for what cannot be compiled."""
    build = Build({sum16: sum16_in_vectors}, identify=lambda function: content(function, pipeline))
    Numbers.reasons = list(plan.reasons)
    Numbers.chains = list(pipeline.chains)
    ProtocolNumbers.known = pipeline.protocols
    packet = PacketType(plan.burst)
    hops: list[list[Hop]] = []
    made: dict[Stage, set[str]] = {}
    groups: list[GroupStage] = []
    for chain in pipeline.chains:
        hops.append([])
        for stage in chain.stages:
            function = stage.function
            if isinstance(stage, BurstStage):
                groups.append(_group_stage(build, stage, GroupType(plan.burst, plan.needs.shared), pipeline))
                function = spoken_for(len(groups))
            hops[-1].append(_hop(build, stage, function, packet, pipeline))
            made[stage] = build.texts(function, (packet,), VERDICT)
    for text in build.modules.values():
        with_numbers(text)  # from here on every drop reason has its number
    divided = _divide(hops, plan.dispatch)
    counted = plan.edges or plan.cost_classes > 0
    edges = EdgeCounters(len(pipeline.chains), Numbers.reasons, plan.edges, plan.cost_classes) if counted else None
    loop = build.compile(plan.loop, [StructRefType(plan.context)])  # type: ignore[arg-type]
    parser = Parser(build, pipeline, plan.machine, plan.needs, plan.burst)
    glue = (
        chain_ir(hops, divided, edges)
        + parser.ir(plan.dispatch)
        + kernel_ir(build, pipeline.state, plan.burst, plan.needs)
    )
    glue += wrapper_ir(plan.entry, loop, inline=False)
    if plan.clone is not None and plan.emit is not None:
        clone, emit = build.compile(plan.clone, [types.int64] * 3), build.compile(plan.emit, [types.int64] * 4)  # type: ignore[arg-type]
        glue += f"@{MADE} = external global i64\n"
        glue += wrapper_ir(CLONE, clone, inline=False) + wrapper_ir(EMIT, emit, inline=False)
    if groups:
        decide = build.compile(decider(burst_reference(plan.burst), plan.needs.shared), [types.int64] * 7)  # type: ignore[arg-type]
        glue += group_ir(groups, LANES) + wrapper_ir(DECIDE, decide)
    build.modules = {name: with_numbers(text) for name, text in build.modules.items()}
    bodies = [hop.body.symbol for chain in hops for hop in chain]
    reached = [(hop.size, divided.why[k, p]) for k, chain in enumerate(hops) for p, hop in enumerate(chain)]
    why = f"{len(divided.groups)} function{'s' if len(divided.groups) > 1 else ''} for {len(reached)} stages"
    code = Code(b"", plan.entry, list(Numbers.reasons), divided.dispatch, why, reached)
    code.edges = edges.edges if edges else []
    counters, loops = counters_of(pipeline.state), naming(build.modules, [BEGIN_COUNTS])
    around: set[str] = set()
    if counters:
        around = naming(build.modules, [ENTER, ENTER_CHAIN, GROUP]) - loops | adding(build.modules, counters)
    first = sums_in_registers(counters, loops)
    return Parts(build, glue, [*bodies, *parser.bodies, *around], made, code, first)


def build_module(pipeline: Pipeline, plan: Plan) -> tuple[llvm.ModuleRef, Code]:
    """The optimised LLVM module of a pipeline. Raises `CompileError` for what cannot be compiled."""
    parts = lower_pipeline(pipeline, plan)
    module = parts.build.link(parts.glue, [plan.entry], inline=parts.inline, first=parts.first)
    refuse_forbidden(undefined(module), parts.made)
    return module, parts.code


def compile_pipeline(pipeline: Pipeline, plan: Plan) -> Code:
    """The object code of a pipeline for this host."""
    module, code = build_module(pipeline, plan)
    code.object = target_machine().emit_object(module)
    return code


def _group_stage(build: Build, stage: BurstStage, group: GroupType, pipeline: Pipeline) -> GroupStage:
    check_stage(stage)
    with explained(stage, pipeline):
        body = build.compile(stage.function, (group,), VerdictsType())
    return GroupStage(body, Numbers.reason(f"{stage.name}: error"))


def _hop(build: Build, stage: Stage, function: FunctionType, packet: PacketType, pipeline: Pipeline) -> Hop:
    """A stage at its place; `function` is its own, or what stands for a burst stage."""
    if function is stage.function:
        check_stage(stage)
    with explained(stage, pipeline):
        body = build.compile(function, (packet,), VERDICT)
    to = tuple(sorted({pipeline.chains.index(chain) for chain in targets(stage)}))
    size = sum(text.count("\n  ") for text in build.texts(function, (packet,), VERDICT))
    return Hop(stage.name, body, size, Numbers.reason(stage.name), Numbers.reason(f"{stage.name}: error"), to)


def _divide(hops: list[list[Hop]], dispatch: regions.Dispatch) -> regions.Regions:
    """The regions of a pipeline, by the sizes of its stages."""
    callers: dict[int, set[int]] = {}
    for number, chain in enumerate(hops):
        for hop in chain:
            for target in hop.chains:
                callers.setdefault(target, set()).add(number)
    return regions.divide([[hop.size for hop in chain] for chain in hops], callers, dispatch, regions.FUSE_UP_TO)
