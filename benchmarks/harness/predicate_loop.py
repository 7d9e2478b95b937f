"""One predicate, sixteen packets at a time and one at a time, over packets whose columns the parser has filled."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import burstline as bl
from benchmarks.harness.packets import Arena
from benchmarks.harness.parse_loop import Context
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.bucket_kernel import enter
from burstline.engine.burst_stage_kernel import burst_stage_runner
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser
from burstline.native.memory import load32, load64
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region

BURST = 256


@bl.predicate
def wanted(pkt: Any) -> Any:
    """About one packet in eight, which nothing predicts."""
    return pkt.ipv4 and pkt.tcp and pkt.tcp.dport & 0x41 == 0x41 and pkt.ipv4.ttl != 3


@bl.stage
def first(pkt: Any) -> Any:
    """Before it, a predicate takes single packets."""
    return None


def predicate_runs(arena: Arena, packets: int) -> tuple[Callable[[], float], Callable[[], float], int]:
    """Both forms, as functions that give ns a packet, and how many packets match."""
    grouped, single = _built(bl.Pipeline(wanted), arena, packets), _built(bl.Pipeline(first, wanted), arena, packets)
    (a, found), (b, other) = grouped, single
    assert found() == other(), "both find the same packets"
    return a, b, found()


def _built(pipeline: bl.Pipeline, arena: Arena, packets: int) -> tuple[Callable[[], float], Callable[[], int]]:
    """The time of the stages alone: that of a run with them, less that of one which only parses."""
    name_state(pipeline)
    needs, burst, machine = needs_of(pipeline), Burst(BURST + 64), Machine(tunnels=False)
    burst_at: Any = burst_reference(burst)
    parse: Any = burst_parser(needs, machine)
    run_burst_stages: Any = burst_stage_runner(shared=False)
    groups = needs.groups

    def loop(context: Context) -> int:
        """Only parsing, where bit 32 of `packets` is set."""
        columns = burst_at(context.burst)
        passed = 0
        for at in range(0, context.packets & 0xFFFFFFFF, BURST):
            for i in range(BURST):
                columns.data[i] = context.arena + load64(context.starts + 8 * (at + i))
                columns.captured[i] = load32(context.captured + 4 * (at + i))
            parse(columns, 0, BURST, LINK_ETHERNET)
            if context.packets >> 32 == 0:
                if groups:
                    run_burst_stages(columns, BURST, 0)
                for i in range(BURST):
                    passed += 1 if enter(burst_address(columns), i) == 0 else 0
        return passed

    plan = Plan(burst, loop, Context.layout, "predicate_loop", ("",), needs, machine)
    code = compile_pipeline(pipeline, plan)
    instance = Instance(Program(pipeline, {}, code.object, code.about()))
    memory, context = Region(burst.size), Block(Context.layout)
    context.set(
        burst=memory.address, arena=arena.memory.ctypes.data, starts=arena.starts.ctypes.data,
        captured=arena.captured.ctypes.data,
    )  # fmt: skip

    def timed(parse_only: int) -> float:
        assert memory is not None
        context.set(packets=packets | parse_only << 32)
        start = time.perf_counter_ns()
        instance.run(context)
        return (time.perf_counter_ns() - start) / packets

    def passed() -> int:
        context.set(packets=packets)
        return instance.run(context)

    return lambda: timed(0) - timed(1), passed
