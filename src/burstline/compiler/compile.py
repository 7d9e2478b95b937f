"""A pipeline becomes one object file: stages, chain, kernels and the engine's loop, linked and optimised together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import llvmlite.binding as llvm

from burstline.compiler import packet_type, protocol_type, state_types  # noqa: F401  they teach Numba the types
from burstline.compiler.chain import Dispatch, Hop, chain_ir
from burstline.compiler.check import check_stage
from burstline.compiler.content import content
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
from burstline.packet.machine import Machine
from burstline.pipeline.needs import Needs
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.stage import Stage

FUSE_UP_TO = 4000  # LLVM instructions of all stages together: beyond, hops are tail calls and stay in the L1 cache


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
    dispatch: Dispatch = "auto"


@dataclass
class Code:
    """A compiled pipeline: the object file and what one must know to use it."""

    object: bytes
    entry: str
    reasons: list[str]  # drop reasons by number
    dispatch: str
    dispatch_why: str
    stage_sizes: dict[str, int] = field(default_factory=dict)  # LLVM instructions before optimisation

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


def lower_pipeline(pipeline: Pipeline, plan: Plan) -> Parts:
    """Everything but linking. Raises `CompileError` for what cannot be compiled."""
    build = Build(identify=lambda function: content(function, pipeline))
    Numbers.reasons = list(plan.reasons)
    Numbers.chains = list(pipeline.chains)
    ProtocolNumbers.known = pipeline.protocols
    packet = PacketType(plan.burst)
    hops: list[list[Hop]] = []
    sizes: dict[str, int] = {}
    total = 0
    made: dict[Stage, set[str]] = {}
    for chain in pipeline.chains:
        hops.append([])
        for stage in chain.stages:
            hops[-1].append(_hop(build, stage, packet, pipeline))
            made[stage] = build.texts(stage.function, (packet,), VERDICT)
            sizes[stage.name] = build.modules[hops[-1][-1].body.symbol].count("\n  ")
            total += sizes[stage.name]
    bodies = [hop.body.symbol for chain in hops for hop in chain]
    dispatch, why = _dispatch(plan.dispatch, total)
    loop = build.compile(plan.loop, [StructRefType(plan.context)])  # type: ignore[arg-type]
    parser = Parser(build, pipeline, plan.machine, plan.needs, plan.burst)
    glue = chain_ir(hops, dispatch) + parser.ir(dispatch) + kernel_ir(build, pipeline.state)
    glue += wrapper_ir(plan.entry, loop, inline=False)
    build.modules = {name: with_numbers(text) for name, text in build.modules.items()}
    code = Code(b"", plan.entry, list(Numbers.reasons), dispatch, why, sizes)
    return Parts(build, glue, [*bodies, *parser.bodies], made, code)


def build_module(pipeline: Pipeline, plan: Plan) -> tuple[llvm.ModuleRef, Code]:
    """The optimised LLVM module of a pipeline. Raises `CompileError` for what cannot be compiled."""
    parts = lower_pipeline(pipeline, plan)
    module = parts.build.link(parts.glue, [plan.entry], inline=parts.inline)
    refuse_forbidden(undefined(module), parts.made)
    return module, parts.code


def compile_pipeline(pipeline: Pipeline, plan: Plan) -> Code:
    """The object code of a pipeline for this host."""
    module, code = build_module(pipeline, plan)
    code.object = target_machine().emit_object(module)
    return code


def _hop(build: Build, stage: Stage, packet: PacketType, pipeline: Pipeline) -> Hop:
    check_stage(stage)
    with explained(stage, pipeline):
        body = build.compile(stage.function, (packet,), VERDICT)
    return Hop(stage.name, body, Numbers.reason(stage.name), Numbers.reason(f"{stage.name}: error"))


def _dispatch(wanted: Dispatch, size: int) -> tuple[Literal["fused", "tail"], str]:
    if wanted != "auto":
        return wanted, "as told"
    if size <= FUSE_UP_TO:
        return "fused", f"{size} instructions of stages, at most {FUSE_UP_TO}: inlined, a hop costs nothing"
    return "tail", f"{size} instructions of stages, more than {FUSE_UP_TO}: each stage stays a function, hops are jumps"
