"""The packet and its header views in compiled code: every attribute is a few loads from columns and header bytes.

A view of an absent header points at a block of zeros, so that reads need no branch; writes to it are skipped.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import models, register_model

from burstline.compiler.burst_type import read
from burstline.native.address_type import IPV4, IPV6
from burstline.native.bytes_type import BYTES, make_bytes
from burstline.native.memory import I64, load_big_endian, store_big_endian
from burstline.packet.burst import Burst
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import FRAGMENT, HEADER, HEADER_METHODS, PRESENT, Field, Header

i64 = types.int64
ZEROS = "burstline_zeros"  # 64 bytes, defined by chain.py
EXTENSION_SYMBOL = "burstline_find_extension"
CHECKSUM_SYMBOLS = {"ipv4": "burstline_fix_ipv4", "l4": "burstline_fix_l4"}

INTEGER_FIELDS = ("length", "captured", "time", "port", "vlan_depth")


class PacketType(types.Type):
    """One packet: its burst and its index there."""

    def __init__(self, burst: Burst) -> None:
        self.burst = burst
        super().__init__(f"Packet({burst.capacity})")


class HeaderType(types.Type):
    """A view of one header of a packet."""

    def __init__(self, header: Header, burst: Burst) -> None:
        self.header = header
        self.burst = burst
        super().__init__(f"Header({header.name}, {burst.capacity})")


@register_model(PacketType)
class _PacketModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: PacketType) -> None:
        super().__init__(manager, kind, [("burst", i64), ("index", i64)])


@register_model(HeaderType)
class _HeaderModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: HeaderType) -> None:
        super().__init__(manager, kind, [("address", i64), ("here", types.boolean), ("burst", i64), ("index", i64)])


class _FixTemplate(AbstractTemplate):  # type: ignore[misc]
    key = "Packet.fix_checksums"

    def generic(self, args: Any, kws: Any) -> Any:
        return None if args or kws else signature(types.none, recvr=self.this)


class _FixOneTemplate(_FixTemplate):
    key = "Header.fix_checksum"


@infer_getattr
class _PacketAttributes(AttributeTemplate):  # type: ignore[misc]
    key = PacketType

    def generic_resolve(self, kind: PacketType, name: str) -> Any:
        if name in HEADER:
            return HeaderType(HEADER[name], kind.burst)
        if name in INTEGER_FIELDS or name == "proto":
            return i64
        if name == "is_fragment":
            return types.boolean
        if name == "payload":
            return BYTES
        return types.BoundFunction(_FixTemplate, kind) if name == "fix_checksums" else None


@infer_getattr
class _HeaderAttributes(AttributeTemplate):  # type: ignore[misc]
    key = HeaderType

    def generic_resolve(self, kind: HeaderType, name: str) -> Any:
        field = kind.header.field(name)
        if field:
            return {"bool": types.boolean, "ipv4": IPV4, "ipv6": IPV6}.get(field.kind, i64)
        if name == "options" and kind.header.options:
            return BYTES
        if name == "fix_checksum" and kind.header.name in HEADER_METHODS[name]:
            return types.BoundFunction(_FixOneTemplate, kind)
        return None


def _present(builder: Any, burst: Burst, base: Any, index: Any, bits: int) -> Any:
    found = builder.and_(read(builder, burst, base, "present", index), I64(bits))
    return builder.icmp_unsigned("!=", found, I64(0))


@lower_getattr_generic(PacketType)
def _packet_get(context: Any, builder: Any, kind: PacketType, value: Any, name: str) -> Any:
    packet = cgutils.create_struct_proxy(kind)(context, builder, value)
    base, index, burst = packet.burst, packet.index, kind.burst
    if name in INTEGER_FIELDS:
        return read(builder, burst, base, name, index)
    if name == "proto":
        is_ip = _present(builder, burst, base, index, PRESENT["ipv4"] | PRESENT["ipv6"])
        return builder.select(is_ip, read(builder, burst, base, "proto", index), I64(0))
    if name == "is_fragment":
        return _present(builder, burst, base, index, FRAGMENT)
    if name == "payload":
        start, end = read(builder, burst, base, "payload", index), read(builder, burst, base, "end", index)
        address = builder.add(read(builder, burst, base, "data", index), start)
        size = builder.sub(end, start)
        return make_bytes(
            context, builder, address, builder.select(builder.icmp_signed("<", size, I64(0)), I64(0), size)
        )
    return _header(context, builder, HeaderType(HEADER[name], burst), base, index)


def _zeros(builder: Any) -> Any:
    zeros = builder.module.globals.get(ZEROS)
    if zeros is None:
        zeros = ir.GlobalVariable(builder.module, ir.ArrayType(I64, 8), ZEROS)
        zeros.linkage = "external"
        zeros.global_constant = True
    return builder.ptrtoint(zeros, I64)


def _header(context: Any, builder: Any, kind: HeaderType, base: Any, index: Any) -> Any:
    name, burst = kind.header.name, kind.burst
    here = _present(builder, burst, base, index, PRESENT[name])
    data = read(builder, burst, base, "data", index)
    if name in EXTENSION_PROTO:
        # Without one the walk starts in the zeros, and ends there: a packet without IP may be shorter than IP's header.
        walked = builder.select(here, data, _zeros(builder))
        l3, end = (builder.select(here, read(builder, burst, base, column, index), I64(0)) for column in ("l3", "end"))
        offset = _call(builder, EXTENSION_SYMBOL, [walked, l3, end, I64(EXTENSION_PROTO[name])])
        here = builder.and_(here, builder.icmp_signed(">=", offset, I64(0)))  # a stage may have changed the chain
    elif name in ("eth", "vlan", "inner_vlan"):
        offset = I64({"eth": 0, "vlan": 14, "inner_vlan": 18}[name])
    else:
        offset = read(builder, burst, base, "l3" if name in ("arp", "ipv4", "ipv6") else "l4", index)
    view = cgutils.create_struct_proxy(kind)(context, builder)
    view.here = here
    view.address = builder.select(here, builder.add(data, offset), _zeros(builder))
    view.burst, view.index = base, index
    return view._getvalue()


def _call(builder: Any, symbol: str, args: list[Any]) -> Any:
    function = builder.module.globals.get(symbol) or ir.Function(
        builder.module, ir.FunctionType(I64, [I64] * len(args)), symbol
    )
    return builder.call(function, args)


@infer_global(bool)
@infer_global(operator.truth)
@infer_global(operator.not_)
class _HeaderTruth(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.boolean, *args) if len(args) == 1 and isinstance(args[0], HeaderType) else None


@lower_builtin(bool, HeaderType)
@lower_builtin(operator.truth, HeaderType)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0]).here


@lower_builtin(operator.not_, HeaderType)
def _not(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(_truth(context, builder, sig, args))


@lower_getattr_generic(HeaderType)
def _field_get(context: Any, builder: Any, kind: HeaderType, value: Any, name: str) -> Any:
    view = cgutils.create_struct_proxy(kind)(context, builder, value)
    if name == "options":
        return _options(context, builder, kind, view)
    field = kind.header.field(name)
    assert field is not None
    word = load_big_endian(builder, builder.add(view.address, I64(field.offset)), field.width)
    if field.kind in ("ipv4", "ipv6"):
        return word
    word = builder.zext(word, I64)
    if not field.whole:
        word = builder.and_(builder.lshr(word, I64(field.shift)), I64(field.mask))
    return builder.icmp_unsigned("!=", word, I64(0)) if field.kind == "bool" else word


def _options(context: Any, builder: Any, kind: HeaderType, view: Any) -> Any:
    """Between the fixed header and what the length field in it says, within the bytes that are here."""
    header = kind.header
    place = header.field("ihl" if header.name == "ipv4" else "data_offset")
    assert place is not None
    word = load_big_endian(builder, builder.add(view.address, I64(place.offset)), 1)
    words = builder.and_(builder.lshr(builder.zext(word, I64), I64(place.shift)), I64(place.mask))
    size = builder.sub(builder.mul(words, I64(4)), I64(header.size))
    data = read(builder, kind.burst, view.burst, "data", view.index)
    limit = read(builder, kind.burst, view.burst, "captured" if header.name == "ipv4" else "end", view.index)
    room = builder.sub(builder.add(data, limit), builder.add(view.address, I64(header.size)))
    size = builder.select(builder.icmp_signed("<", room, size), room, size)
    usable = builder.and_(view.here, builder.icmp_signed(">", size, I64(0)))
    return make_bytes(
        context, builder, builder.add(view.address, I64(header.size)), builder.select(usable, size, I64(0))
    )


@lower_setattr_generic(HeaderType)
def _field_set(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    kind = sig.args[0]
    field: Field = kind.header.field(name)
    view = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    target = {"bool": types.boolean, "ipv4": IPV4, "ipv6": IPV6}.get(field.kind, i64)
    value = context.cast(builder, args[1], sig.args[1], target)
    with builder.if_then(view.here):
        address = builder.add(view.address, I64(field.offset))
        if field.kind in ("ipv4", "ipv6"):
            store_big_endian(builder, value, address, field.width)
            return
        word = ir.IntType(8 * field.width)
        value = builder.zext(value, word) if field.kind == "bool" else builder.trunc(value, word)
        if not field.whole:
            old = load_big_endian(builder, address, field.width)
            placed = word(field.mask << field.shift)
            value = builder.and_(builder.shl(value, word(field.shift)), placed)
            value = builder.or_(builder.and_(old, builder.not_(placed)), value)
        store_big_endian(builder, value, address, field.width)


def _fix(builder: Any, burst: Burst, base: Any, index: Any, what: str, bits: int) -> None:
    """Call the checksum function when one of the headers in `bits` is there."""
    with builder.if_then(_present(builder, burst, base, index, bits)):
        columns = ["data", "captured", "present", "l3"] + (["l4"] if what == "l4" else [])
        _call(builder, CHECKSUM_SYMBOLS[what], [read(builder, burst, base, c, index) for c in columns])


L4_WITH_CHECKSUM = PRESENT["tcp"] | PRESENT["udp"] | PRESENT["icmp"] | PRESENT["icmpv6"]


@lower_builtin("Packet.fix_checksums", PacketType)
def _fix_all(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    _fix(builder, sig.args[0].burst, packet.burst, packet.index, "ipv4", PRESENT["ipv4"])
    _fix(builder, sig.args[0].burst, packet.burst, packet.index, "l4", L4_WITH_CHECKSUM)
    return context.get_dummy_value()


@lower_builtin("Header.fix_checksum", HeaderType)
def _fix_one(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    view = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    name = kind.header.name
    _fix(builder, kind.burst, view.burst, view.index, "ipv4" if name == "ipv4" else "l4", PRESENT[name])
    return context.get_dummy_value()
