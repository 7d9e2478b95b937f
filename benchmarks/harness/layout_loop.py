"""The loop that parses packets in memory and runs the stages of `sessions` over them."""

from __future__ import annotations

import time
from typing import Any

from benchmarks.harness.sessions import AHEAD, BURST, FRAME, Context, sessions
from burstline.compiler.compile import Code, Plan, compile_pipeline
from burstline.engine.bucket_kernel import enter
from burstline.engine.flow_prefetch import begin_flows, end_flows, flow_looks
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser
from burstline.native.build import forget
from burstline.native.memory import load32, prefetch
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import needs_of
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block, Region

COLUMNS = Burst(BURST + 64)


class Sessions:
    """The pipeline compiled, with its record as declared, or as derived from what the stages touch."""

    def __init__(self, flows: int, *, derived: bool) -> None:
        pipeline, self.table, _ = sessions(flows, derived=derived)
        self.code = compiled(pipeline)
        self._instance = Instance(Program(pipeline, {}, self.code.object, self.code.about()))
        self._context, self._memory = Block(Context.layout), Region(COLUMNS.size)

    def nanoseconds(self, packets: Any, order: Any) -> float:
        """A packet, through all stages, in this order."""
        count = len(order) - AHEAD
        self._context.set(burst=self._memory.address, arena=packets.ctypes.data, order=order.ctypes.data, packets=count)
        start = time.perf_counter_ns()
        self._instance.run(self._context)
        return (time.perf_counter_ns() - start) / count


def compiled(pipeline: Pipeline) -> Code:
    name_state(pipeline)
    needs, machine = needs_of(pipeline), Machine(tunnels=False)
    burst_at: Any = burst_reference(COLUMNS)
    parse: Any = burst_parser(needs, machine)
    look_first, look = flow_looks(False)

    def run_sessions(context: Context) -> int:
        packets = burst_at(context.burst)
        total = 0
        for first in range(0, context.packets, BURST):
            for i in range(BURST):
                prefetch(context.arena + FRAME * load32(context.order + 4 * (first + i + AHEAD)))
                packets.data[i] = context.arena + FRAME * load32(context.order + 4 * (first + i))
                packets.captured[i] = FRAME
                packets.length[i] = FRAME
                packets.time[i] = first + 1
            parse(packets, 0, BURST, LINK_ETHERNET)
            begin_flows(0, BURST)
            look_first(packets, 0, BURST, 0)
            for i in range(BURST):
                look(packets, i, BURST, 0)
                total += enter(burst_address(packets), i)
            end_flows()
        return total

    forget()
    plan = Plan(COLUMNS, run_sessions, Context.layout, "run_sessions", ("",), needs, machine)
    return compile_pipeline(pipeline, plan)
