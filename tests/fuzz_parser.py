"""Mutated packets between unreadable pages, through the compiled parser and stages that read and write every field.

A read or write of one byte outside of a packet ends the process; what the parser finds is compared, packet by packet,
with the interpreted one. `python tests/fuzz_parser.py --packets 10000000` is `make fuzz`. A failure prints what repeats
its batch, packet by packet, each printed before it is parsed.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import multiprocessing
import operator
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import mutations
from burstline.compiler.compile import Plan, compile_pipeline
from burstline.compiler.regions import Dispatch
from burstline.engine.program import Instance, Program, name_state
from burstline.engine.stages_kernel import burst_parser, enter
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.burst import COLUMN, LEVEL_COLUMNS, Burst
from burstline.packet.burst_type import burst_address, burst_reference
from burstline.packet.fields import PRESENT
from burstline.packet.flow_key import flow_key
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2, SECRET_3
from burstline.packet.found_kernel import HERE
from burstline.packet.machine import Machine, Parsed
from burstline.packet.parser import parse_levels
from burstline.pipeline.needs import needs_of
from burstline.state.digest import Digest
from burstline.state.region import Block, Region
from guard_page import everything

BATCH, PAGE = 256, mmap.PAGESIZE
COLUMNS = tuple(c.name for c in LEVEL_COLUMNS if c.name not in ("protocols", "l2"))
OF_LEVEL: Callable[[Parsed], tuple[int, ...]] = operator.attrgetter(*COLUMNS)
Inner = tuple[int, ...] | None
Found = tuple[tuple[int, ...], Inner, bytes, int]  # outer and inner columns, flow key, hash
# How states are joined, and whether there is a fast path before them.
WAYS: tuple[tuple[Dispatch, bool], ...] = (("fused", True), ("tail", False))
MASK = (1 << 64) - 1


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
        self.instances = []
        self.context = Block(Context.layout)
        for dispatch, fast in WAYS:
            loop = _parsing(burst_at, burst_parser(needs, machine, linked=True, fast=fast))
            plan = Plan(burst, loop, Context.layout, f"parse_{dispatch}", ("",), needs, machine, dispatch)
            self.instances.append(self._instance(pipeline, plan))
        plan = Plan(burst, _staging(burst_at), Context.layout, "stages", ("",), needs, machine)
        self.stages = self._instance(pipeline, plan)
        self.digests = [s for s in pipeline.state if isinstance(s, Digest)]
        self.memory, self.cages = Region(burst.size), Cages()
        self.context.set(burst=self.memory.address)
        self.array = {n: self._column(n) for n in ("data", "captured", "link", "length", "hash")}
        for level in ("", "inner_"):
            self.array |= {level + n: self._column(level + n) for n in (*COLUMNS, "l2")}
        self.keys = self.memory.numpy("u1", 40 * BATCH, burst.offsets["key"]).reshape(BATCH, 40)

    def _instance(self, pipeline: Any, plan: Plan) -> Instance:
        code = compile_pipeline(pipeline, plan)
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
        wanted = [interpreted(packet, link) for packet, link in packets]
        for instance in self.instances:
            instance.run(self.context)
            found = self._found(len(packets))
            if found != wanted:
                k = next(k for k, pair in enumerate(zip(found, wanted, strict=True)) if pair[0] != pair[1])
                packet, link = packets[k]
                return f"link {link}, packet {packet.hex()}: {found[k]} is not {wanted[k]}"
        self.stages.run(self.context)
        for digest in self.digests:
            for worker in digest._workers:
                worker.head.set(tail=worker.head.get("pending"))
        return ""

    def _found(self, count: int) -> list[Found]:
        """What the compiled parser wrote down, in the form of `interpreted`."""
        keys, hashes = self.keys.tobytes(), self.array["hash"].tolist()
        outer, inner = self._level(""), self._level("inner_")
        l2 = self.array["inner_l2"].tolist()
        return [(outer[k], _inner(inner[k], l2[k]), keys[40 * k : 40 * k + 40], hashes[k]) for k in range(count)]

    def _level(self, prefix: str) -> list[tuple[int, ...]]:
        return list(zip(*(self.array[prefix + name].tolist() for name in COLUMNS), strict=True))


def _inner(columns: tuple[int, ...], l2: int) -> Inner:
    present = columns[0]
    if not present & HERE:
        return None
    return present & ~HERE, *columns[1:], l2 if present & PRESENT["eth"] else 0


def interpreted(packet: bytes, link: int) -> Found:
    """Columns of the outer and the inner packet, flow key and hash by plain Python, which cannot read outside."""
    outer, inner = parse_levels(packet, len(packet), link)
    key = flow_key(packet, outer)
    within: Inner = None
    if inner is not None:
        within = (*OF_LEVEL(inner), inner.l2 if inner.present & PRESENT["eth"] else 0)
    return OF_LEVEL(outer), within, key, hash_of(key)


def hash_of(key: bytes) -> int:
    """The hash of a flow key, as `packet/flow_key_kernel.py` says."""
    head, a, b, c, d = struct.unpack("<5Q", key)
    if key[1] != 6:
        return mix(head ^ SECRET_1, a ^ SECRET_2)
    half = mix(head ^ SECRET_1, a ^ SECRET_2) ^ mix(b ^ SECRET_3, c ^ SECRET_1)
    return mix(half ^ SECRET_2, d ^ SECRET_3)


def mix(x: int, y: int) -> int:
    product = (x & MASK) * (y & MASK)
    return (product ^ product >> 64) & MASK


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


def batch_of(seed: int, number: int, known: list[mutations.Seed]) -> list[tuple[bytes, int]]:
    """Damaged packets and their link layers; the same for the same numbers."""
    return mutations.mutants(random.Random(f"{seed} {number}"), BATCH, known)


def work(process: int, seed: int, numbers: range, at: Any) -> None:
    """The batches of one process, which ends with code 1 at the first difference; `at` tells which one it is at."""
    fuzzed, known = Fuzzed(), mutations.seeds()
    for number in numbers:
        at[process] = number
        wrong = fuzzed.check(batch_of(seed, number, known), at_end=number % 3 != 0)
        if wrong:
            print(f"batch {number}: {wrong}", file=sys.stderr, flush=True)
            raise SystemExit(1)
    at[process] = numbers.stop


def repeat(seed: int, number: int) -> None:
    """One batch, packet by packet: the last one printed is the one that ended the process."""
    fuzzed = Fuzzed()
    for packet, link in batch_of(seed, number, mutations.seeds()):
        print(f"link {link}, packet {packet.hex()}", flush=True)
        for at_end in (True, False):
            if wrong := fuzzed.check([(packet, link)], at_end):
                raise SystemExit(wrong)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=float, default=1e7)
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--batch", type=int, help="repeat this batch, packet by packet")
    options = parser.parse_args()
    if options.batch is not None:
        repeat(options.seed, options.batch)
        return 0
    share = -(-int(options.packets) // BATCH // options.processes)  # batches of each process
    parts = [range(k * share, (k + 1) * share) for k in range(options.processes)]
    context = multiprocessing.get_context("spawn")
    at = context.Array("q", [part.start for part in parts])
    workers = [context.Process(target=work, args=(k, options.seed, part, at)) for k, part in enumerate(parts)]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        time.sleep(1)
        if sys.stderr.isatty():
            print(f"\r{_done(at, parts):,} packets", end="", file=sys.stderr, flush=True)
        if any(worker.exitcode for worker in workers):
            break
    failed = [k for k, worker in enumerate(workers) if worker.exitcode]
    for worker in workers:
        if failed:
            worker.terminate()
        worker.join()
    print(f"{_done(at, parts):,} packets in {time.monotonic() - start:.0f} s, seed {options.seed}: ", end="")
    print("FAILED" if failed else "no difference, no access outside")
    for k in failed:
        if workers[k].exitcode == -signal.SIGTERM:
            print("a process was told to end from outside: nothing is known of what was left")
        else:
            print(f"process ended with {workers[k].exitcode}; repeat: --seed {options.seed} --batch {at[k]}")
    return int(bool(failed))


def _done(at: Any, parts: list[range]) -> int:
    return BATCH * sum(now - part.start for now, part in zip(at[:], parts, strict=True))


if __name__ == "__main__":
    sys.exit(main())
