"""The XDP program of a set of rules, as an object for BPF: parse, decide, count, hand over to the queue's socket."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import llvmlite.binding as llvm
from llvmlite import ir

from burstline.packet.machine import USUAL_PORTS, Machine, TunnelPorts
from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import COUNTER_AT, DROP, MARK_AT, MARK_BITS, QUEUE
from burstline.steering.xdp.code import (
    ADJUST_META,
    BUFFER_LENGTH,
    I32,
    POINTER,
    REDIRECT_MAP,
    Code,
    number,
)
from burstline.steering.xdp.decide import write_exact, write_queue, write_wildcards
from burstline.steering.xdp.hash import write_hash
from burstline.steering.xdp.kinds import check_room
from burstline.steering.xdp.layout import KIND, L3, L4, META_MAGIC, META_SIZE, PROTO
from burstline.steering.xdp.parse import Parse
from burstline.steering.xdp.window import DATA, copy_head
from burstline.steering.xdp.words import Packet

NAME = "burstline"
XDP_DROP, XDP_PASS = 1, 2
META, RX_QUEUE = 8, 16  # in struct xdp_md
ETHERNET = 14


@dataclass(frozen=True)
class Shape:
    """What a program is made for, besides rules."""

    queues: int
    buckets: int
    with_ports: bool = True  # in the hash
    tunnels: TunnelPorts = USUAL_PORTS


def module_of(shape: Shape, wildcards: Sequence[Wildcard]) -> str:
    """The program as LLVM's code. Raises BurstlineError for more rules than one holds."""
    check_room(wildcards)
    code = Code(NAME)
    b = code.b
    key = b.alloca(I32)
    b.store(I32(0), key)
    body, leave = code.block("body"), code.block("leave")
    scratch = code.find("scratch", key)
    b.cbranch(b.icmp_unsigned("==", scratch, ir.Constant(POINTER, None)), leave, body)
    b.position_at_end(leave)
    b.ret(I32(XDP_PASS))
    b.position_at_end(body)
    settings = code.symbol("settings")
    length = code.call(BUFFER_LENGTH, code.context)
    sound = code.block("sound")
    b.cbranch(b.icmp_unsigned("<", length, number(ETHERNET)), leave, sound)
    b.position_at_end(sound)
    copy_head(code, scratch, length)
    Parse(code, scratch, Machine(ports=shape.tunnels)).write(length, leave)
    places = {"kind": KIND, "proto": PROTO, "l3": L3, "l4": L4}
    kept = {name: code.load(code.beside(scratch, at), 8, fresh=True) for name, at in places.items()}
    packet = Packet(code, scratch, length, kept)
    write_wildcards(packet, wildcards)
    decision = write_exact(packet, settings)
    with code.when(code.is_set(decision, 0xFFFF << COUNTER_AT)):
        _count(code, "rules", b.lshr(decision, number(COUNTER_AT)), length)
    with code.when(code.is_set(decision, DROP)):
        _count(code, "queues", number(shape.queues), length)
        b.ret(I32(XDP_DROP))
        b.position_at_end(code.block("unreached"))
        b.unreachable()
    _steer(packet, settings, decision, shape)
    return str(code.module)


def _steer(p: Packet, settings: ir.Value, decision: ir.Value, shape: Shape) -> None:
    """Counted, marked, and to the socket of its queue, or to the kernel's own stack where nobody opened one."""
    code, b = p.code, p.b
    with b.goto_entry_block():
        hashed = b.alloca(number(0).type)
    b.store(number(0), hashed)
    with code.when(b.xor(code.is_set(decision, QUEUE), ir.IntType(1)(1))):
        b.store(write_hash(p, settings, with_ports=shape.with_ports), hashed)
    queue = write_queue(p, settings, decision, b.load(hashed), shape.buckets)
    _count(code, "queues", queue, p.length)
    mark = b.and_(b.lshr(decision, number(MARK_AT)), number((1 << MARK_BITS) - 1))
    with code.when(b.icmp_unsigned("!=", mark, number(0))):
        _write_mark(code, mark)
    rx_queue = code.load(code.beside(code.context, RX_QUEUE), 4)
    place = b.add(b.mul(rx_queue, number(shape.queues)), queue)
    done = code.call(REDIRECT_MAP, code.symbol("sockets"), place, number(XDP_PASS))
    b.ret(b.trunc(done, I32))


def _count(code: Code, counters: str, index: ir.Value, length: ir.Value) -> None:
    """One more packet; no other program of this CPU's comes in between, so that no atomic is needed."""
    b = code.b
    with b.goto_entry_block():
        key = b.alloca(I32)
    b.store(b.trunc(index, I32), key)
    found = code.find(counters, key)
    with code.when(b.icmp_unsigned("!=", found, ir.Constant(POINTER, None))):
        code.store(b.add(code.load(found, 8), number(1)), found, 8)
        size = code.beside(found, 8)
        code.store(b.add(code.load(size, 8), length), size, 8)


def _write_mark(code: Code, mark: ir.Value) -> None:
    """In front of the packet (Documentation/networking/xdp-rx-metadata.rst); a driver that has no room there says so,
    and then there is no mark."""
    b = code.b
    failed = code.call(ADJUST_META, code.context, I32(-META_SIZE))
    with code.when(b.icmp_unsigned("==", b.trunc(failed, I32), I32(0))):
        meta = b.inttoptr(code.load(code.beside(code.context, META), 4, fresh=True), POINTER)
        data = b.inttoptr(code.load(code.beside(code.context, DATA), 4, fresh=True), POINTER)
        fits = b.icmp_unsigned("<=", code.beside(meta, META_SIZE), data)
        with code.when(fits):
            code.store(mark, meta, 4)
            code.store(META_MAGIC, code.beside(meta, 4), 4)


@functools.cache
def _target() -> llvm.TargetMachine:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple("bpf").create_target_machine(cpu="v3", opt=2, reloc="static")


def object_of(module: str) -> bytes:
    """An ELF object of the program."""
    machine = _target()
    parsed = llvm.parse_assembly(module)
    parsed.verify()
    parsed.data_layout = str(machine.target_data)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(parsed, passes)
    made: bytes = machine.emit_object(parsed)
    return made
