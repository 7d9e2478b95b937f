"""A stage that bumps eight counters, in the engine's own loop around the stages, over lengths that do not repeat."""

from __future__ import annotations

import time
from typing import Any

import burstline as bl
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import stage_runner
from burstline.engine.worker import FileWorker
from burstline.native.memory import copy
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.machine import Machine
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region

BURST = 256
NAMES = ("packets", "octets", "wire", "lines", "odd", "small", "large", "mixed")
packets, octets, wire, lines, odd, small, large, mixed = COUNTERS = [bl.Counter(name) for name in NAMES]


@bl.stage
def count(pkt: Any) -> None:
    """As COUNT of c/counters.c."""
    n = pkt.length
    packets.add()
    octets.add(n)
    wire.add(n + 24)
    lines.add((n + 63) >> 6)
    odd.add(n & 1)
    if n < 128:
        small.add()
    if n > 1023:
        large.add()
    mixed.add(n ^ (n >> 4))


class Counting:
    """The stage compiled, for so many workers, each over all lengths (32 bits, a multiple of `BURST` of them)."""

    def __init__(self, lengths: Any, workers: int) -> None:
        pipeline = bl.Pipeline(count)
        name_state(pipeline)
        burst, needs, machine = Burst(BURST + 64), needs_of(pipeline), Machine(tunnels=False)
        burst_at: Any = burst_reference(burst)
        run_stages: Any = stage_runner(needs, False, burst_at)

        def loop(worker: FileWorker) -> int:
            columns = burst_at(worker.burst)
            for first in range(0, worker.slots, BURST):
                copy(burst_address(columns.length), worker.chunks + 4 * first, 4 * BURST)
                run_stages(worker, columns, BURST, 0, 0, 0)
            return 0

        plan = Plan(burst, loop, FileWorker.layout, "counter_loop", ("",), needs, machine)
        code = compile_pipeline(pipeline, plan)
        self._program = Program(pipeline, {}, code.object, code.about())
        self._lengths = lengths
        self._instances = [Instance(self._program, k) for k in range(workers)]
        self._bursts = [Region(burst.size) for _ in range(workers)]
        self._contexts = []
        for instance, memory in zip(self._instances, self._bursts, strict=True):
            context = Block(FileWorker.layout, 128)
            context.set(
                burst=memory.address, chunks=lengths.ctypes.data, slots=len(lengths), tallies=instance.tallies.address
            )
            self._contexts.append(context)

    def run(self, worker: int = 0) -> float:
        """ns a packet. Releases the GIL meanwhile."""
        start = time.perf_counter_ns()
        self._instances[worker].run(self._contexts[worker])
        return (time.perf_counter_ns() - start) / len(self._lengths)

    def values(self) -> list[int]:
        """Of all runs so far, of all workers."""
        return [counter.value for counter in COUNTERS]
