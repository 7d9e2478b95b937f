"""Chains of many small stages, compiled with a loop that does nothing but run them over packets that do not repeat."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

import burstline as bl
from burstline.compiler.compile import Plan, build_module
from burstline.compiler.regions import Dispatch
from burstline.engine.bucket_kernel import bucket_runner, enter
from burstline.engine.counters_kernel import begin_counts, store_counts
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import no_buckets
from burstline.native.build import forget
from burstline.native.fieldtypes import i64
from burstline.native.host import target_machine
from burstline.native.memory import load32
from burstline.native.struct import Struct
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.machine import Machine
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region

PACKETS, BURST = 1 << 20, 256
HOP = re.compile(r"^hop_\d+_\d+:(.*?)^\.Lfunc_end", re.DOTALL | re.MULTILINE)


class Context(Struct):
    burst: i64
    lengths: i64  # address of the packets' lengths, 32 bits each
    packets: i64


def little_stages(count: int) -> bl.Pipeline:
    """Stages that each add to a counter of their own what depends on the packet: no two are alike, none can be left
    out, and none knows what another did."""
    source = "import burstline as bl\n"
    for k in range(count):
        source += f"c{k} = bl.Counter('{k}')\n@bl.stage\ndef s{k}(pkt):\n"
        source += f"    c{k}.add(pkt.length * {2 * k + 3} ^ {k * 7919})\n"
    space: dict[str, Any] = {"__name__": "stages"}
    exec(compile(source, "<stages>", "exec"), space)
    return bl.Pipeline(*(space[f"s{k}"] for k in range(count)))


def branching_stages(ways: int, depth: int, predictable: bool) -> bl.Pipeline:
    """A stage that hands packets to one of several chains of little stages: always the same one, or by a hash of what
    does not repeat."""
    source = "import burstline as bl\n"
    for way in range(ways):
        names = [f"s{way}_{k}" for k in range(depth)]
        for k, name in enumerate(names):
            source += f"c{name} = bl.Counter('{name}')\n@bl.stage\ndef {name}(pkt):\n"
            source += f"    c{name}.add(pkt.length * {2 * k + 3} ^ {way * 7919})\n"
        source += f"chain{way} = bl.Chain({', '.join(names)}, name='{way}')\n"
    source += "@bl.stage\ndef pick(pkt):\n"
    source += f"    way = {'pkt.length >> 20' if predictable else f'(pkt.length * 2654435761 >> 13) % {ways}'}\n"
    for way in range(ways):
        source += f"    {'el' if way else ''}if way == {way}:\n        return chain{way}\n"
    space: dict[str, Any] = {"__name__": "stages"}
    exec(compile(source, "<stages>", "exec"), space)
    return bl.Pipeline(space["pick"])


@dataclass
class Built:
    """A chain ready to run, and what it took."""

    count: int
    seconds: float  # to compile
    stack: int  # bytes, the largest frame of any function that a packet goes through
    dispatch: str
    run: Any

    def nanoseconds(self) -> float:
        """A packet, through all stages."""
        start = time.perf_counter_ns()
        self.run()
        return (time.perf_counter_ns() - start) / PACKETS


def build(count: int, dispatch: Dispatch) -> Built:
    """Compile a chain of `count` stages."""
    return compiled(little_stages(count), dispatch)


def compiled(pipeline: bl.Pipeline, dispatch: Dispatch) -> Built:
    """Compile a pipeline and its loop."""
    count = sum(len(chain.stages) for chain in pipeline.chains)
    name_state(pipeline)
    burst, needs, machine = Burst(BURST), needs_of(pipeline), Machine(tunnels=False)
    burst_at: Any = burst_reference(burst)
    bucketed = dispatch == "bucketed"
    run_buckets: Any = bucket_runner(len(pipeline.chains), BURST, False) if bucketed else no_buckets

    def loop(context: Context) -> int:
        packets = burst_at(context.burst)
        total = 0
        for first in range(0, context.packets, BURST):
            for i in range(BURST):
                packets.length[i] = load32(context.lengths + 4 * (first + i))
            begin_counts()
            if bucketed:
                run_buckets(packets, BURST)
            for i in range(BURST):
                total += packets.verdict[i] if bucketed else enter(burst_address(packets), i)
            store_counts()
        return total

    forget()
    start = time.perf_counter()
    module, code = build_module(
        pipeline, Plan(burst, loop, Context.layout, "stages_loop", ("",), needs, machine, dispatch)
    )
    code.object = target_machine().emit_object(module)
    seconds = time.perf_counter() - start
    frames = [frame(body) for body in HOP.findall(target_machine().emit_assembly(module))]
    instance = Instance(Program(pipeline, {}, code.object, code.about()))
    memory, context = Region(burst.size), Block(Context.layout)
    lengths = np.random.default_rng(1).integers(60, 1515, PACKETS, dtype=np.uint32)
    context.set(burst=memory.address, lengths=lengths.ctypes.data, packets=PACKETS)

    def run() -> None:
        assert memory is not None and lengths is not None  # they live as long as this function
        instance.run(context)

    return Built(count, seconds, max(frames, default=0), code.dispatch, run)


def frame(body: str) -> int:
    """The bytes of stack that a function's machine code takes."""
    pushes = len(re.findall(r"^\s+push", body, re.MULTILINE))
    return 8 * pushes + max((int(n) for n in re.findall(r"sub[lq]\s+\$(\d+), %rsp", body)), default=0)
