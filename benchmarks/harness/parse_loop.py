"""The parser beside C: over the same packets in memory, into the same columns, in bursts of 256."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import burstline as bl
from benchmarks.harness.packets import Arena
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser
from burstline.native.fieldtypes import i64
from burstline.native.memory import cycles, load8, load32, load64, prefetch
from burstline.native.struct import Struct
from burstline.packet.burst import COLUMN, Burst
from burstline.packet.burst_type import burst_reference
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region

BURST, AHEAD = 256, 64
COLUMNS = ("present", "l3", "l4", "payload", "end", "proto", "vlan_depth")
LEVEL = (*COLUMNS[:5], "proto", "vlan_depth")  # as parse.c has them


class Context(Struct):
    burst: i64
    arena: i64
    starts: i64
    captured: i64
    packets: i64
    cycles: i64  # of the whole run, by the time-stamp counter


class Columns:
    """The columns of one burst, which both sides write."""

    def __init__(self) -> None:
        self.burst = Burst(BURST + 64)
        self.memory = Region(self.burst.size)

    def address(self, name: str) -> int:
        return self.memory.address + self.burst.offsets[name]

    def read(self, name: str, count: int) -> bytes:
        return self.memory.read(self.burst.offsets[name], COLUMN[name].width * count)


Run = Callable[[Arena, int, int], float]  # packets from the first one on, so many: ns a packet


def ours(
    columns: Columns, *, inner: bool, fast: bool, keys: bool = True, lanes: int | None = None, cached: bool = False
) -> Run:
    """Our parser, with its fast path, of so many lanes, or by its states alone; with flow keys or without. `cached`:
    the headers of a burst are brought into the cache first, and only the parser's own time counts."""

    @bl.stage
    def nothing(pkt: Any) -> Any:
        return None

    pipeline = bl.Pipeline(nothing)
    needs = replace(needs_of(pipeline), columns=COLUMNS, eth=True, tunnels=inner, inner=inner, keys=keys)
    machine = Machine(tunnels=inner)
    burst_at: Any = burst_reference(columns.burst)
    parse: Any = burst_parser(needs, machine, fast=fast, lanes=lanes)

    def parse_arena(context: Context) -> int:
        burst = burst_at(context.burst)
        started, spent = cycles(), 0
        for first in range(0, context.packets, BURST):
            count = min(BURST, context.packets - first)
            for i in range(count):
                ahead = context.arena + load64(context.starts + 8 * (first + i + AHEAD))
                prefetch(ahead)
                prefetch(ahead + 64)
                burst.data[i] = context.arena + load64(context.starts + 8 * (first + i))
                burst.captured[i] = load32(context.captured + 4 * (first + i))
            if cached:
                for i in range(count):
                    spent -= load8(burst.data[i]) + load8(burst.data[i] + 63) >> 8  # nothing, but LLVM cannot know
                spent -= cycles()
            parse(burst, 0, count, LINK_ETHERNET)
            if cached:
                spent += cycles()
        context.cycles = cycles() - started
        return spent

    name_state(pipeline)
    plan = Plan(columns.burst, parse_arena, Context.layout, "parse_arena", ("",), needs, machine)
    code = compile_pipeline(pipeline, plan)
    context = Block(Context.layout)
    instance = Instance(Program(pipeline, {}, code.object, code.about()), context)

    def run(arena: Arena, first: int, count: int) -> float:
        context.set(
            burst=columns.memory.address,
            arena=arena.memory.ctypes.data,
            starts=arena.starts.ctypes.data + 8 * first,
            captured=arena.captured.ctypes.data + 4 * first,
            packets=count,
        )
        start = time.perf_counter_ns()
        spent = instance.run(context)
        whole = time.perf_counter_ns() - start
        return whole * (spent / context.get("cycles") if cached else 1) / count

    return run


def theirs(library: Path, columns: Columns, *, inner: bool) -> Run:
    """`benchmarks/c/parse.c`."""
    parse = ctypes.CDLL(str(library)).parse_packets
    names = [*LEVEL, *(f"inner_{name}" for name in LEVEL), "hash", "key"]
    table = (ctypes.c_uint64 * len(names))(*(columns.address(name) for name in names))

    def run(arena: Arena, first: int, count: int) -> float:
        arguments = [
            ctypes.c_void_p(address)
            for address in (
                ctypes.addressof(table),
                arena.memory.ctypes.data,
                arena.starts.ctypes.data + 8 * first,
                arena.captured.ctypes.data + 4 * first,
            )
        ]
        start = time.perf_counter_ns()
        parse(*arguments, ctypes.c_uint64(count), ctypes.c_int(inner))
        return (time.perf_counter_ns() - start) / count

    return run


def differing(columns: Columns, one: Run, other: Run, arena: Arena, bursts: int, *, inner: bool) -> list[str]:
    """The columns in which two parsers differ on the first bursts; of inner packets, where there are any."""
    import numpy as np

    wrong = set()
    for first in range(0, bursts * BURST, BURST):
        found = []
        for run in (one, other):
            run(arena, first, BURST)
            values = {n: np.frombuffer(columns.read(n, BURST), f"u{COLUMN[n].width}") for n in (*LEVEL, "hash")}
            values["key"] = np.frombuffer(columns.read("key", BURST), "u8").reshape(BURST, 5)
            if inner:
                here = np.frombuffer(columns.read("inner_present", BURST), "u4")
                for name in LEVEL:
                    column = np.frombuffer(columns.read(f"inner_{name}", BURST), f"u{COLUMN[name].width}")
                    values[f"inner_{name}"] = np.where(here >> 31 != 0, column, 0)
            found.append(values)
        wrong |= {name for name, values in found[0].items() if not np.array_equal(values, found[1][name])}
    return sorted(wrong)
