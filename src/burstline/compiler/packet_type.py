"""The packet in compiled code, and its inner one: every attribute is a few loads from the burst's columns."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import models, register_model

from burstline.compiler.columns import CHECKSUMS_WRONG, Columns, call, fix
from burstline.compiler.header_type import HeaderType, header_view
from burstline.native.bytes_type import BYTES, make_bytes
from burstline.native.lowered_cache import lasting
from burstline.native.memory import I64, load
from burstline.packet.burst import INNER, Burst
from burstline.packet.burst_type import write
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import FRAGMENT, HEADER, OF_INNER, PRESENT, WRITABLE
from burstline.packet.found_kernel import HERE
from burstline.packet.made import ANYWHERE, CLONE, MADE, Made

i64 = types.int64
ROOM, BURST = Made.layout.offset("room"), Made.layout.offset("burst")
INTEGER_FIELDS = ("length", "captured", "time", "port", "vlan_depth", "mpls_depth", "segments", "segment_size", "mark")


@lasting
class PacketType(types.Type):
    """One packet: its burst and its index there. `level` is before the names of its columns: the packet itself has
    none, its inner one `inner_`. `made` ones are those that stages made, which no state knows."""

    def __init__(self, burst: Burst, level: str = "", made: bool = False) -> None:
        self.burst, self.level, self.made = burst, level, made
        super().__init__(f"{'Made' if made else ''}{'Inner' if level else ''}Packet({burst.capacity})")


@register_model(PacketType)
class _PacketModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: PacketType) -> None:
        super().__init__(manager, kind, [("burst", i64), ("index", i64)])


class _FixTemplate(AbstractTemplate):  # type: ignore[misc]
    key = "Packet.fix_checksums"

    def generic(self, args: Any, kws: Any) -> Any:
        return None if args or kws else signature(types.none, recvr=self.this)


class _OkTemplate(AbstractTemplate):  # type: ignore[misc]
    key = "Packet.checksums_ok"

    def generic(self, args: Any, kws: Any) -> Any:
        return None if args or kws else signature(types.boolean, recvr=self.this)


class _CloneTemplate(AbstractTemplate):  # type: ignore[misc]
    key = "Packet.clone"

    def generic(self, args: Any, kws: Any) -> Any:
        if kws or self.this.made or not all(isinstance(a, types.Integer) for a in args) or len(args) > 1:
            return None
        return signature(PacketType(self.this.burst, made=True), *[i64] * len(args), recvr=self.this)


METHODS = {"fix_checksums": _FixTemplate, "checksums_ok": _OkTemplate, "clone": _CloneTemplate}


@infer_getattr
class _PacketAttributes(AttributeTemplate):  # type: ignore[misc]
    key = PacketType

    def generic_resolve(self, kind: PacketType, name: str) -> Any:
        if name in HEADER:
            return HeaderType(HEADER[name], kind.burst, kind.level)
        if kind.level and name not in OF_INNER:
            return None
        if name in ("outer", "inner"):
            return PacketType(kind.burst, INNER if name == "inner" else "", kind.made)
        if name in INTEGER_FIELDS or name == "proto":
            return i64
        if name == "is_fragment":
            return types.boolean
        if name == "payload":
            return BYTES
        return types.BoundFunction(METHODS[name], kind) if name in METHODS else None


def has_header(context: Any, builder: Any, kind: PacketType, value: Any, name: str) -> Any:
    """Whether a packet has a header. An extension header is looked for: a stage may have changed the chain to it."""
    packet = cgutils.create_struct_proxy(kind)(context, builder, value)
    columns = Columns(builder, kind, packet.burst, packet.index)
    if name not in EXTENSION_PROTO:
        return columns.has(PRESENT[name])
    header = HeaderType(HEADER[name], kind.burst, kind.level)
    return cgutils.create_struct_proxy(header)(context, builder, header_view(context, builder, header, columns)).here


@lower_getattr_generic(PacketType)
def _packet_get(context: Any, builder: Any, kind: PacketType, value: Any, name: str) -> Any:
    if name in ("outer", "inner"):
        return value
    packet = cgutils.create_struct_proxy(kind)(context, builder, value)
    columns = Columns(builder, kind, packet.burst, packet.index)
    if name in OF_INNER:
        return _found(context, columns, name)
    if name in INTEGER_FIELDS:
        return columns.read(name)
    return header_view(context, builder, HeaderType(HEADER[name], kind.burst, kind.level), columns)


@lower_setattr_generic(PacketType)
def _packet_set(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    """Of WRITABLE: what the stage language has checked."""
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    value = builder.and_(context.cast(builder, args[1], sig.args[1], i64), I64(WRITABLE[name]))
    write(builder, sig.args[0].burst, packet.burst, name, packet.index, value)


def _found(context: Any, columns: Columns, name: str) -> Any:
    """What both a packet and an inner one have; of an inner one that is not there, nothing."""
    builder = columns.builder
    if name == "is_fragment":
        return columns.has(FRAGMENT)
    if name == "proto":
        is_ip = columns.has(PRESENT["ipv4"] | PRESENT["ipv6"])
        return builder.select(is_ip, columns.found("proto"), I64(0))
    if name == "payload":
        start, end = columns.found("payload"), columns.found("end")
        size = _if_here(columns, builder.sub(end, start))
        none = builder.icmp_signed("<", size, I64(0))
        address = builder.add(columns.read("data"), start)
        return make_bytes(context, builder, address, builder.select(none, I64(0), size))
    return _if_here(columns, columns.found(name))


def _if_here(columns: Columns, number: Any) -> Any:
    return columns.builder.select(columns.has(HERE), number, I64(0)) if columns.level else number


@infer_global(bool)
@infer_global(operator.truth)
@infer_global(operator.not_)
class _InnerTruth(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        known = len(args) == 1 and isinstance(args[0], PacketType) and (args[0].level == INNER or args[0].made)
        return signature(types.boolean, *args) if known else None


@lower_builtin(bool, PacketType)
@lower_builtin(operator.truth, PacketType)
def _inner_truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    if not sig.args[0].level:
        return builder.icmp_unsigned("!=", packet.index, load(builder, builder.add(_made(builder), I64(ROOM)), I64, 8))
    return Columns(builder, sig.args[0], packet.burst, packet.index).has(HERE)


@lower_builtin(operator.not_, PacketType)
def _inner_not(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(_inner_truth(context, builder, sig, args))


L4_WITH_CHECKSUM = PRESENT["tcp"] | PRESENT["udp"] | PRESENT["icmp"] | PRESENT["icmpv6"]


@lower_builtin("Packet.fix_checksums", PacketType)
def _fix_all(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    columns = Columns(builder, sig.args[0], packet.burst, packet.index)
    fix(columns, "ipv4", PRESENT["ipv4"])
    fix(columns, "l4", L4_WITH_CHECKSUM)
    return context.get_dummy_value()


@lower_builtin("Packet.checksums_ok", PacketType)
def _checksums_ok(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    columns = Columns(builder, sig.args[0], packet.burst, packet.index)
    given = [columns.read("data"), columns.read("captured"), *(columns.found(c) for c in ("present", "l3", "l4"))]
    right = cgutils.alloca_once_value(builder, ir.IntType(1)(1))
    with builder.if_then(builder.icmp_unsigned("==", columns.read("checks"), I64(0))):
        builder.store(builder.icmp_unsigned("==", call(builder, CHECKSUMS_WRONG, given), I64(0)), right)
    return builder.load(right)


@lower_builtin("Packet.clone", PacketType)
@lower_builtin("Packet.clone", PacketType, types.Integer)
def _clone(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    port = args[1] if len(args) > 1 else I64(ANYWHERE)
    return made_packet(context, builder, sig.return_type, CLONE, [packet.burst, packet.index, port])


def made_packet(context: Any, builder: Any, kind: PacketType, symbol: str, args: list[Any]) -> Any:
    """What a function made, which returns its number in the worker's burst of made packets."""
    made = context.make_helper(builder, kind)
    made.index = call(builder, symbol, args)
    made.burst = load(builder, builder.add(_made(builder), I64(BURST)), I64, 8)
    return made._getvalue()


def _made(builder: Any) -> Any:
    """The address of what the worker makes of this burst."""
    cell = builder.module.globals.get(MADE)
    if cell is None:
        cell = ir.GlobalVariable(builder.module, I64, MADE)
        cell.linkage = "external"
    return load(builder, builder.ptrtoint(cell, I64), I64, 8)
