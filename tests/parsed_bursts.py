"""The compiled parser alone, over bursts of packets: every column that it fills, as the interpreted one names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import burstline as bl
from both_modes import stage_of
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.burst import COLUMN, LEVEL_COLUMNS, Burst
from burstline.packet.burst_type import burst_reference
from burstline.packet.found_kernel import HERE
from burstline.packet.machine import Levels, Machine, Parsed
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region

COLUMNS = tuple(c.name for c in LEVEL_COLUMNS if c.name != "protocols")
CAPACITY = 256


class Context(Struct):
    burst: i64
    count: i64


class CompiledParser:
    """`parse(packets, link)` gives for each what was found, its flow key and the key's hash."""

    def __init__(self, *, fast: bool, tunnels: bool = True, linked: bool = True) -> None:
        self.burst = burst = Burst(CAPACITY + 64)
        pipeline = bl.Pipeline(stage_of("def nothing(pkt):\n    return None"))
        needs = replace(needs_of(pipeline), columns=COLUMNS, eth=True, tunnels=tunnels, inner=tunnels, keys=True)
        machine = Machine(tunnels)
        burst_at: Any = burst_reference(burst)
        parse_packets: Any = burst_parser(needs, machine, linked=linked, fast=fast)

        def parse_all(context: Context) -> int:
            parse_packets(burst_at(context.burst), 0, context.count, 0)
            return 0

        name_state(pipeline)
        code = compile_pipeline(pipeline, Plan(burst, parse_all, Context.layout, "parse_all", ("",), needs, machine))
        self.instance = Instance(Program(pipeline, {}, code.object, code.about()))
        self.memory = Region(burst.size)
        self.context = Block(Context.layout)
        self.tunnels = tunnels

    def parse(self, packets: Sequence[bytes], link: int = 0) -> list[tuple[Levels, bytes, int]]:
        found = []
        for first in range(0, len(packets), CAPACITY):
            found += self._burst(packets[first : first + CAPACITY], link)
        return found

    def _burst(self, packets: Sequence[bytes], link: int) -> list[tuple[Levels, bytes, int]]:
        # Kept: `run` reads the packets again.
        self._packets = data = Region(sum(map(len, packets)) + 1)
        at = 0
        for k, packet in enumerate(packets):
            data.write(at, packet)
            self._set("data", k, data.address + at)
            self._set("captured", k, len(packet))
            self._set("link", k, link)
            at += len(packet)
        # Whatever the bursts before held: where many packets were not plain, the fast path would be left out.
        self.memory.write(self.burst.offsets["unusual"], bytes(2))
        self.run(len(packets))
        return [self._found(k) for k in range(len(packets))]

    def run(self, count: int) -> int:
        """Parse the burst once more; returns for how many bursts from now on the fast path is left out."""
        self.context.set(burst=self.memory.address, count=count)
        self.instance.run(self.context)
        return self._get("unusual", 0)

    def _found(self, k: int) -> tuple[Levels, bytes, int]:
        outer = self._parsed(k, "")
        inner = None
        if self.tunnels and self._get("inner_present", k) & HERE:
            inner = self._parsed(k, "inner_")
            inner = inner._replace(present=inner.present & ~HERE)
        key = self.memory.read(self.burst.offsets["key"] + 40 * k, 40)
        return Levels(outer, inner), key, self._get("hash", k)

    def _parsed(self, k: int, level: str) -> Parsed:
        values = {name: self._get(level + name, k) for name in COLUMNS}
        if not level:
            values["l2"] = 0
        return Parsed(**values)

    def _place(self, name: str, k: int) -> tuple[int, int]:
        width = COLUMN[name].width
        return self.burst.offsets[name] + width * k, width

    def _get(self, name: str, k: int) -> int:
        return int.from_bytes(self.memory.read(*self._place(name, k)), "little")

    def _set(self, name: str, k: int, value: int) -> None:
        place, width = self._place(name, k)
        self.memory.write(place, value.to_bytes(width, "little"))


def comparable(levels: Levels) -> Levels:
    """An interpreted result with what compiled code writes nowhere left out: where an inner packet without Ethernet
    would begin."""
    inner = levels.inner
    if inner is not None and not inner.present & 1:
        inner = inner._replace(l2=0)
    return Levels(levels.outer, inner)
