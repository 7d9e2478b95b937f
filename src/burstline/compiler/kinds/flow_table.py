"""`flows[pkt]`, `flows.is_forward(pkt)`, `flows.close(pkt)`, and what the loops do for all tables."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, call, i64, is_whole, method, state_type
from burstline.native.build import Build, apart, wrapper_ir
from burstline.native.memory import I64, address_of, load64, primitive, store64
from burstline.native.struct_type import Halves, StructRefType, reference
from burstline.packet.burst import Burst, BurstColumns
from burstline.packet.burst_type import BurstType
from burstline.state.base import State
from burstline.state.flow_head import TableHead
from burstline.state.flow_keys import TupleKeys
from burstline.state.flow_keys_kernel import STORE, hasher, tuple_writer
from burstline.state.flow_moves_kernel import move_kernels
from burstline.state.flow_table import FlowTable
from burstline.state.flow_table_kernel import table_kernels

RECORD, FORWARD, CLOSE = "{}_record", "{}_forward", "{}_close"  # of a table: (burst, packet)
FIRST, SECOND = "{}_first", "{}_second"
BEGIN, END = "{}_begin", "{}_end"
MOVE_OUT, MOVE_IN = "{}_move_out", "{}_move_in"
table_at = reference(TableHead)


@state_type(FlowTable, {"is_forward": method(types.boolean, PacketType), "close": method(types.none, PacketType)})
class FlowTableType(StateType):
    @property
    def record(self) -> StructRefType:
        at = self.owner.geometry
        place = TableHead.layout.offset
        halves = Halves(self.symbol, place("records"), place("cold"), at.stride, at.cold_stride)
        return StructRefType(at.record, halves if at.cold_stride else None)


@infer_global(operator.getitem)
class _FlowOf(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], FlowTableType) and is_whole(args[1]):
            return signature(args[0].record, *args)
        return None


def _of_packet(context: Any, builder: Any, sig: Any, args: Any, name: str) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    return call(builder, name.format(sig.args[0].symbol), [packet.burst, packet.index])


@lower_builtin(operator.getitem, FlowTableType, PacketType)
def _record(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _of_packet(context, builder, sig, args, RECORD)


@lower_builtin("FlowTable.is_forward", FlowTableType, PacketType)
def _is_forward(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed("!=", _of_packet(context, builder, sig, args, FORWARD), I64(0))


@lower_builtin("FlowTable.close", FlowTableType, PacketType)
def _close(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _of_packet(context, builder, sig, args, CLOSE)
    return context.get_dummy_value()


def _packet_at(burst: Burst) -> Any:
    """A function for compiled code that takes a burst and a number for a packet."""

    def emit(builder: Any, base: Any, index: Any) -> Any:
        pair = ir.Constant(ir.LiteralStructType([I64, I64]), ir.Undefined)
        return builder.insert_value(builder.insert_value(pair, base, 0), index, 1)

    return primitive("packet_at", PacketType(burst), BurstType(burst), i64)(emit)


Functions = dict[str, tuple[Callable[..., int], list[types.Type]]]


def _functions(table: FlowTable[Any], number: int, burst: Burst) -> Functions:
    """What the functions of table `number` are to be called, with their arguments."""
    keys, at, symbol = table.keys, table.geometry, table.symbol
    made = table_kernels(at, hasher(keys))
    record_of, foresee, prefetch_bucket, forward, leave = (
        made.record_of, made.foresee, made.prefetch_bucket, made.is_forward, made.close,
    )  # fmt: skip
    times, size = at.times, keys.size
    head: Any = address_of(symbol)
    packet_at, hash_key = _packet_at(burst), hasher(keys)
    from_tuple = isinstance(keys, TupleKeys)
    write_tuple: Any = tuple_writer(keys if isinstance(keys, TupleKeys) else TupleKeys())
    fields: Any = keys.writer(STORE)
    with_fields = fields is not None
    if not with_fields:

        def fields(pkt: Any, to: int) -> None:
            return None

    def own_key(burst: BurstColumns, i: int) -> int:
        return table_at(head()).keys + i * size

    def own_hash(burst: BurstColumns, i: int) -> int:
        return load64(table_at(head()).hashes + 8 * i)

    def parsers_key(burst: BurstColumns, i: int) -> int:
        return burst.key[i]

    def parsers_hash(burst: BurstColumns, i: int) -> int:
        return burst.hash[i]

    @apart
    def write_key(burst: BurstColumns, i: int) -> int:
        """Before stages change the packet."""
        to = table_at(head()).keys + i * size
        if from_tuple:
            write_tuple(burst, i, to)
        if with_fields:
            fields(packet_at(burst, i), to)
        hash = hash_key(to)
        store64(table_at(head()).hashes + 8 * i, hash)
        return hash

    key_of, hash_of, make_key = parsers_key, parsers_hash, parsers_hash
    if not keys.is_usual:
        key_of, hash_of, make_key = own_key, own_hash, write_key

    def first(burst: BurstColumns, i: int) -> int:
        return prefetch_bucket(head(), make_key(burst, i))

    def second(burst: BurstColumns, i: int) -> int:
        return foresee(head(), hash_of(burst, i), i)

    def record(burst: BurstColumns, i: int) -> int:
        return record_of(head(), key_of(burst, i), hash_of(burst, i), i, burst.time[i] if times else 0)

    def is_forward(burst: BurstColumns, i: int) -> int:
        return forward(head(), key_of(burst, i), hash_of(burst, i), i)

    def close(burst: BurstColumns, i: int) -> int:
        return leave(head(), key_of(burst, i), hash_of(burst, i), i)

    begin_at, end_at = made.begin, made.end

    def begin(time: int, packets: int) -> int:
        return begin_at(head(), time, packets)

    def end() -> int:
        return end_at(head())

    moves = move_kernels(at, keys, hash_key, made)
    out, into = moves.move_out, moves.move_in

    def move_out(which: int, moving: int, now: int) -> int:
        return out(head(), number, moving, now) if which == number else 0

    def move_in(row: int, now: int) -> int:
        return into(head(), row, now) if load64(row) == number else 0

    of_packet = [BurstType(burst), i64]
    return {
        RECORD: (record, of_packet), FIRST: (first, of_packet), SECOND: (second, of_packet),
        FORWARD: (is_forward, of_packet), CLOSE: (close, of_packet), BEGIN: (begin, [i64, i64]), END: (end, []),
        MOVE_OUT: (move_out, [i64, i64, i64]), MOVE_IN: (move_in, [i64, i64]),
    }  # fmt: skip


def each_table(build: Build, state: Sequence[State], burst: Burst) -> list[str]:
    """The functions of every table, and what the loops call for all of them."""
    tables = [s for s in state if isinstance(s, FlowTable)]
    text = "\n".join(build.modules.values())
    parts = []
    for number, table in enumerate(tables):
        for name, (function, arguments) in _functions(table, number, burst).items():
            symbol = name.format(table.symbol)
            called = name.format("burstline_flows") if name in (MOVE_OUT, MOVE_IN) else symbol
            if name in (RECORD, FORWARD, CLOSE, MOVE_OUT, MOVE_IN) and f'"{called}"' not in text:
                continue
            compiled: Any = function
            parts.append(wrapper_ir(symbol, build.compile(compiled, arguments), inline=name != CLOSE))
    for name, parameters in ((FIRST, 2), (SECOND, 2), (BEGIN, 2), (END, 0), (MOVE_OUT, 3), (MOVE_IN, 2)):
        if name in (MOVE_OUT, MOVE_IN) and f'"{name.format("burstline_flows")}"' not in text:
            continue
        passed = ", ".join(f"i64 %a{k}" for k in range(parameters))
        lines, total = [], "0"
        for k, table in enumerate(tables):
            lines += [f"  %r{k} = call i64 @{name.format(table.symbol)}({passed})", f"  %s{k} = add i64 {total}, %r{k}"]
            total = f"%s{k}"
        body = "\n".join([*lines, f"  ret i64 {total}"])
        parts.append(f"define i64 @{name.format('burstline_flows')}({passed}) alwaysinline {{\n{body}\n}}")
    return parts
