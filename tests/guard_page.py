"""A program of its own: packets between two unreadable pages, through parser, stages, flow table and checksums.

Each packet lies once right before an unreadable page and once right behind one, so that a read or a write of a single
byte outside of it ends the process. Prints how many it survived.
"""

from __future__ import annotations

import ctypes
import mmap
import random
from collections.abc import Iterator
from typing import Any

import burstline as bl
import scapy_frames
from both_modes import stage_of
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser, enter
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.burst import Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.fields import HEADER_METHODS, HEADERS
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_UNKNOWN
from burstline.pipeline.needs import needs_of
from burstline.state.region import Block, Region
from every_field import FOLD, Everything, body

PAGE = mmap.PAGESIZE
ROOM = 2 * PAGE  # for the longest packet
TELLING = (0, 1, 5, 6, 17, 43, 44, 51, 58, 60, 0x0F, 0xF0, 255)  # protocols, header lengths, extremes
LINKS = (LINK_ETHERNET, LINK_RAW, LINK_SLL, LINK_SLL2, LINK_NULL, LINK_UNKNOWN)


class Context(Struct):
    burst: i64


class Flow(bl.Record):
    packets: bl.u64


def everything() -> bl.Pipeline:
    """Stages that read, write back and fix whatever there is, and use every kind of state."""
    again = [f"pkt.{h.name}.{f.name} = pkt.{h.name}.{f.name}" for h in HEADERS for f in h.fields if f.writable]
    fixes = [f"pkt.{h}.fix_checksum()" for h in HEADER_METHODS["fix_checksum"]]
    lines = "".join(f"    {line}\n" for line in (*again, *fixes, "pkt.fix_checksums()"))
    state = {"flows": bl.FlowTable(Flow, capacity=50_000), "blocked": bl.PrefixSet(["10.0.0.0/8", "2001:db8::/33"])}
    state["seen"] = bl.Digest(Everything, capacity=1 << 10)
    return bl.Pipeline(
        stage_of(f"{FOLD}\ndef read_all(pkt):\n    r = seen.new()\n{body('r')}", **state),
        stage_of(
            "def use(pkt):\n    flows[pkt].packets += 1\n    if pkt.ipv4.src in blocked:\n        pkt.eth.src = 1",
            **state,
        ),
        stage_of(f"def write_all(pkt):\n{lines}", **state),
        stage_of(f"{FOLD}\ndef read_again(pkt):\n    r = seen.new()\n{body('r')}", **state),
    )


def compiled(pipeline: bl.Pipeline, burst: Burst) -> Instance:
    """The pipeline with a loop that takes the burst's one packet through parser and stages."""
    name_state(pipeline)
    needs = needs_of(pipeline)
    burst_at: Any = burst_reference(burst)
    machine = Machine(needs.tunnels)
    parse_packets: Any = burst_parser(needs, machine, linked=True)

    def once(context: Context) -> int:
        burst = burst_at(context.burst)
        parse_packets(burst, 0, 1, 0)
        return enter(burst_address(burst), 0)

    code = compile_pipeline(pipeline, Plan(burst, once, Context.layout, "once", ("",), needs, machine))
    return Instance(Program(pipeline, {}, code.object, code.about()))


class Cage:
    """Memory between two unreadable pages."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, ROOM + 2 * PAGE)
        self._view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        self.start = ctypes.addressof(self._view) + PAGE
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for guard in (self.start - PAGE, self.start + ROOM):
            if protect(guard, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, packet: bytes, at_end: bool) -> int:
        """Address of the packet, which ends or begins where reading does."""
        offset = ROOM - len(packet) if at_end else 0
        self._map[PAGE + offset : PAGE + offset + len(packet)] = packet
        return self.start + offset


def packets() -> Iterator[tuple[bytes, int]]:
    """Every frame cut at every length, as it is and behind other link layers; and damaged ones."""
    frames = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]
    for frame in frames:
        for size in range(len(frame) + 1):
            yield frame[:size], LINK_ETHERNET
        for link, head in ((LINK_RAW, 0), (LINK_NULL, 4), (LINK_SLL, 16), (LINK_SLL2, 20)):
            whole = (bytes(14) + frame[12:14])[-head:] + frame[14:] if head else frame[14:]
            whole = frame[12:14] + bytes(18) + frame[14:] if link == LINK_SLL2 else whole
            for size in range(0, len(whole) + 1, 3):
                yield whole[:size], link
    chance = random.Random(7)
    for _ in range(20_000):
        data = bytearray(chance.choice(frames))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(min(len(data), 110))] = chance.choice(
                (0, 1, 5, 6, 17, 43, 44, 51, 58, 60, 0x0F, 0xF0, 255)
            )
        yield bytes(data[: chance.randrange(len(data) + 1)]), chance.choice((LINK_ETHERNET,) * 5 + LINKS)


def main() -> None:
    burst, cage = Burst(64), Cage()
    pipeline = everything()
    instance = compiled(pipeline, burst)
    columns = Region(burst.size)
    context = Block(Context.layout)
    context.set(burst=columns.address)
    digest = next(s for s in pipeline.state if isinstance(s, bl.Digest))
    survived = 0
    for packet, link in packets():
        for at_end in (True, False):
            columns.set_i64(burst.offsets["data"], cage.put(packet, at_end))
            size = len(packet).to_bytes(4, "little")
            columns.write(burst.offsets["captured"], size)
            columns.write(burst.offsets["length"], size)
            columns.write(burst.offsets["link"], bytes([link]))
            instance.run(context)
            survived += 1
            head = digest._workers[0].head
            head.set(tail=head.get("pending"))
    print(survived)


if __name__ == "__main__":
    main()
