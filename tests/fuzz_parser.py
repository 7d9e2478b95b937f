"""Mutated packets between unreadable pages, through the compiled parser and stages that read and write every field.

A read or write of one byte outside of a packet ends the process; what the parser finds is compared, packet by packet,
with the interpreted one. `python tests/fuzz_parser.py --packets 10000000` is `make fuzz`; a failure prints the packet
and the seed that brings it back.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import multiprocessing
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.harness.packets import MIX, Layer, build, eth, gtpu, ipv4, ipv6, raw, tcp, udp, vlan

import scapy_frames
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser, enter
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.burst import COLUMN, LEVEL_COLUMNS, Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.flow_key import flow_key
from burstline.packet.found_kernel import HERE
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET, LINK_NULL, LINK_RAW, LINK_SLL, LINK_SLL2, parse_levels
from burstline.pipeline.needs import needs_of
from burstline.state.digest import Digest
from burstline.state.region import Block, Region
from guard_page import everything

BATCH, PAGE = 256, mmap.PAGESIZE
COLUMNS = tuple(c.name for c in LEVEL_COLUMNS if c.name not in ("protocols", "l2"))
LINKS = (LINK_ETHERNET,) * 12 + (LINK_RAW, LINK_SLL, LINK_SLL2, LINK_NULL)
TELLING = (0, 1, 4, 5, 6, 8, 17, 41, 43, 44, 47, 50, 51, 58, 60, 0x0F, 0x45, 0x60, 0x81, 0x88, 0xF0, 255)
NESTED: tuple[tuple[Layer, ...], ...] = (
    (eth(0x0800), ipv4(41), ipv6(4), ipv4(47), raw(b"\0\0\x65\x58"), eth(0x86DD), ipv6(17), udp()),
    (eth(0x0800), ipv4(17), udp(2152), gtpu, ipv4(17), udp(4789), raw(b"\x08" + bytes(7)), eth(0x0800), ipv4(6), tcp()),
    (eth(0x0800), ipv4(17), udp(4789), raw(b"\x08" + bytes(7)), eth(0x8100), vlan(0x0800), ipv4(4), ipv4(6), tcp(5)),
)


class Context(Struct):
    burst: i64
    count: i64


class Cages:
    """A page for each packet of a batch, unreadable ones between them."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, (2 * BATCH + 1) * PAGE)
        self._view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        self._start = ctypes.addressof(self._view)
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for k in range(BATCH + 1):
            if protect(self._start + 2 * k * PAGE, PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")

    def put(self, k: int, packet: bytes, at_end: bool) -> int:
        """The address of packet `k`, at the end or the beginning of its page."""
        at = (2 * k + 1) * PAGE + (PAGE - len(packet) if at_end else 0)
        self._map[at : at + len(packet)] = packet
        return self._start + at


class Fuzzed:
    """The compiled parser and stages over batches of packets."""

    def __init__(self) -> None:
        self.burst = burst = Burst(BATCH + 64)
        pipeline = everything()
        name_state(pipeline)
        needs, machine = needs_of(pipeline), Machine()
        burst_at: Any = burst_reference(burst)
        ways: list[Any] = [burst_parser(needs, machine, linked=True, fast=fast) for fast in (True, False)]
        self.instances = []
        self.context = Block(Context.layout)
        for number, parse in enumerate(ways):
            loop = _parsing(burst_at, parse)
            self.instances.append(self._instance(pipeline, burst, loop, needs, machine, f"parse_{number}"))
        self.stages = self._instance(pipeline, burst, _staging(burst_at), needs, machine, "stages")
        self.digests = [s for s in pipeline.state if isinstance(s, Digest)]
        self.memory, self.cages = Region(burst.size), Cages()
        self.context.set(burst=self.memory.address)
        self.array = {n: self._column(n) for n in ("data", "captured", "link", "length", "hash")}
        for level in ("", "inner_"):
            self.array |= {level + n: self._column(level + n) for n in COLUMNS}
        self.keys = self.memory.numpy("u1", 40 * BATCH, burst.offsets["key"]).reshape(BATCH, 40)

    def _instance(self, pipeline: Any, burst: Burst, loop: Any, needs: Any, machine: Any, name: str) -> Instance:
        code = compile_pipeline(pipeline, Plan(burst, loop, Context.layout, name, ("",), needs, machine))
        return Instance(Program(pipeline, {}, code.object, code.about()))

    def _column(self, name: str) -> Any:
        return self.memory.numpy(f"u{COLUMN[name].width}", BATCH, self.burst.offsets[name])

    def check(self, packets: list[tuple[bytes, int]], at_end: bool) -> str:
        """What differs, or nothing."""
        for k, (packet, link) in enumerate(packets):
            self.array["data"][k] = self.cages.put(k, packet, at_end)
            self.array["captured"][k] = self.array["length"][k] = len(packet)
            self.array["link"][k] = link
        self.context.set(count=len(packets))
        for instance in self.instances:
            instance.run(self.context)
            wrong = self._differing(packets)
            if wrong:
                return wrong
        self.stages.run(self.context)
        for digest in self.digests:
            for worker in digest._workers:
                worker.head.set(tail=worker.head.get("pending"))
        return ""

    def _differing(self, packets: list[tuple[bytes, int]]) -> str:
        columns = {name: array.tolist() for name, array in self.array.items() if name not in ("data", "link")}
        keys = self.keys.tobytes()
        for k, (packet, link) in enumerate(packets):
            outer, inner = parse_levels(packet, len(packet), link)
            found = {n: columns[n][k] for n in COLUMNS}
            wanted = {n: getattr(outer, n) for n in COLUMNS}
            here = columns["inner_present"][k]
            if (
                found != wanted
                or keys[40 * k : 40 * k + 40] != flow_key(packet, outer)
                or bool(here & HERE) != bool(inner)
            ):
                return f"link {link}, packet {packet.hex()}: {found} is not {wanted}"
            if inner is not None:
                found = {n: columns[f"inner_{n}"][k] for n in COLUMNS} | {"present": here & ~HERE}
                wanted = {n: getattr(inner, n) for n in COLUMNS}
                if found != wanted:
                    return f"link {link}, packet {packet.hex()}: inner {found} is not {wanted}"
        return ""


def _parsing(burst_at: Any, parse: Any) -> Any:
    def run(context: Context) -> int:
        burst = burst_at(context.burst)
        burst.unusual[0] = 0
        parse(burst, 0, context.count, 0)
        return 0

    return run


def _staging(burst_at: Any) -> Any:
    def run(context: Context) -> int:
        burst = burst_at(context.burst)
        for i in range(context.count):
            enter(burst_address(burst), i)
        return 0

    return run


def corpus() -> list[bytes]:
    """A packet of every kind."""
    frames = [bytes(f) for f in vars(scapy_frames).values() if isinstance(f, scapy_frames.Scapy)]
    stacks = [layers for _, layers in MIX] + list(NESTED)
    return frames + [build(layers, size, 0x5A) for layers in stacks for size in (0, 9)]


def mutated(chance: random.Random, frames: list[bytes]) -> bytes:
    """Bits flipped, bytes that lead elsewhere, lengths that lie, pieces of two packets joined, and cut."""
    data = bytearray(chance.choice(frames))
    kind = chance.random()
    if kind < 0.2:
        other = chance.choice(frames)
        at = chance.randrange(min(len(data), len(other)))
        data[at:] = other[at:] if chance.random() < 0.5 else other[chance.randrange(len(other)) :]
    for _ in range(chance.choice((0, 1, 1, 2, 4))):
        at = chance.randrange(min(len(data), 140)) if data else 0
        if not data:
            break
        way = chance.random()
        if way < 0.4:
            data[at] ^= 1 << chance.randrange(8)
        elif way < 0.8:
            data[at] = chance.choice(TELLING)
        else:
            data[at : at + 2] = chance.choice((0, 1, 7, 8, 19, 20, len(data), 65535)).to_bytes(2, "big")
    if chance.random() < 0.4:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data[:PAGE])


def batches(seed: int, packets: int, frames: list[bytes]) -> Iterator[list[tuple[bytes, int]]]:
    chance = random.Random(seed)
    for _ in range(0, packets, BATCH):
        yield [(mutated(chance, frames), chance.choice(LINKS)) for _ in range(BATCH)]


def work(seed: int, packets: int, done: Any) -> None:
    """One process: ends with code 1 at the first difference."""
    fuzzed, frames = Fuzzed(), corpus()
    for number, batch in enumerate(batches(seed, packets, frames)):
        wrong = fuzzed.check(batch, at_end=number % 2 == 0)
        if wrong:
            print(f"seed {seed}, batch {number}: {wrong}", file=sys.stderr, flush=True)
            raise SystemExit(1)
        with done.get_lock():
            done.value += len(batch)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=float, default=1e7)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    done, share = context.Value("q", 0), int(options.packets) // options.processes
    workers = [context.Process(target=work, args=(options.seed + k, share, done)) for k in range(options.processes)]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(1)
        if sys.stderr.isatty():
            print(f"\r{done.value:,} packets", end="", file=sys.stderr, flush=True)
        if any(worker.exitcode for worker in workers):
            for worker in workers:
                worker.terminate()
    codes = [worker.exitcode for worker in workers]
    seconds = time.monotonic() - start
    print(
        f"{done.value:,} packets in {seconds:.0f} s, seeds {options.seed} to {options.seed + len(codes) - 1}: ", end=""
    )
    print("no difference, no access outside" if not any(codes) else f"FAILED (processes ended with {codes})")
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
