"""A pipeline becomes one object file: stages, chain, kernels and the engine's loop, linked and optimised together."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import llvmlite.binding as llvm

from burstline.compiler import packet_type, state_types  # noqa: F401  they teach Numba the types
from burstline.compiler.burst_type import burst_reference
from burstline.compiler.chain import Dispatch, Hop, chain_ir, wrapper_ir
from burstline.compiler.check import check_stage, explained, forbidden
from burstline.compiler.kernels import kernel_ir
from burstline.compiler.packet_type import PacketType
from burstline.compiler.verdict_type import VERDICT, Numbers
from burstline.native.build import Build, undefined
from burstline.native.host import target_machine
from burstline.native.types import StructRefType
from burstline.packet.burst import Burst
from burstline.pipeline.needs import Needs
from burstline.pipeline.pipeline import Pipeline
from burstline.pipeline.stage import Stage

Mode = Literal["file", "ports"]
FUSE_UP_TO = 4000  # LLVM instructions of all stages together: beyond, hops are tail calls and stay in the L1 cache
NO_SUCH_PORT, SEND_FAILED = "no such port", "send failed"
ENGINE_REASONS = ("", NO_SUCH_PORT, SEND_FAILED)  # reason 0 stands for "dropped by the stage that said so"


@dataclass(frozen=True)
class Plan:
    """What is to be compiled, besides the pipeline itself."""

    mode: Mode
    burst: Burst
    needs: Needs
    source: str = "pcap"  # the capture's format, pcap or pcapng
    sink: str = ""  # the format that packets are written in; empty when they are not
    dispatch: Dispatch = "auto"
    mbuf: tuple[tuple[str, int], ...] = ()  # where DPDK keeps what of a packet, for ports


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


def build_module(pipeline: Pipeline, plan: Plan) -> tuple[llvm.ModuleRef, Code]:
    """The optimised LLVM module of a pipeline. Raises `CompileError` for what cannot be compiled."""
    build = Build()
    Numbers.reasons = list(ENGINE_REASONS)
    Numbers.chains = list(pipeline.chains)
    packet = PacketType(plan.burst)
    hops: list[list[Hop]] = []
    sizes: dict[str, int] = {}
    for chain in pipeline.chains:
        hops.append([])
        for stage in chain.stages:
            hops[-1].append(_hop(build, stage, packet))
            sizes[stage.name] = build.modules[hops[-1][-1].body.symbol].count("\n  ")
    bodies = [hop.body.symbol for chain in hops for hop in chain]
    dispatch, why = _dispatch(plan.dispatch, sum(sizes.values()))
    entry, loop = _loop(build, plan)
    glue = chain_ir(hops, dispatch) + kernel_ir(build, pipeline.state) + loop
    module = build.link(glue, [entry], inline=bodies)
    forbidden(undefined(module), {s.symbol for s in pipeline.state}, pipeline)
    return module, Code(b"", entry, list(Numbers.reasons), dispatch, why, sizes)


def compile_pipeline(pipeline: Pipeline, plan: Plan) -> Code:
    """The object code of a pipeline for this host."""
    module, code = build_module(pipeline, plan)
    code.object = target_machine().emit_object(module)
    return code


def _hop(build: Build, stage: Stage, packet: PacketType) -> Hop:
    check_stage(stage)
    with explained(stage):
        body = build.compile(stage.function, (packet,), VERDICT)
    return Hop(stage.name, body, Numbers.reason(stage.name), Numbers.reason(f"{stage.name}: error"))


def _dispatch(wanted: Dispatch, size: int) -> tuple[Literal["fused", "tail"], str]:
    if wanted != "auto":
        return wanted, "as told"
    if size <= FUSE_UP_TO:
        return "fused", f"{size} instructions of stages, at most {FUSE_UP_TO}: inlined, a hop costs nothing"
    return "tail", f"{size} instructions of stages, more than {FUSE_UP_TO}: each stage stays a function, hops are jumps"


def _loop(build: Build, plan: Plan) -> tuple[str, str]:
    """The engine's loop for this kind of source, around the chain."""
    burst_at: Any = burst_reference(plan.burst)
    loop: Any
    if plan.mode == "file":
        from burstline.engine.file_kernel import file_loop
        from burstline.engine.worker import FileWorker

        loop = file_loop(plan.needs, burst_at, plan.source, plan.sink)
        compiled = build.compile(loop, [StructRefType(FileWorker.layout)])
    else:
        from burstline.engine.port_kernel import port_loop
        from burstline.engine.worker import PortWorker

        loop = port_loop(plan.needs, burst_at, dict(plan.mbuf), plan.sink)
        compiled = build.compile(loop, [StructRefType(PortWorker.layout)])
    entry = f"burstline_work_{plan.mode}"
    return entry, wrapper_ir(entry, compiled, inline=False)
