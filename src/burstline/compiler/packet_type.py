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

from burstline.native.address_type import IPV4, IPV6
from burstline.native.bytes_type import BYTES, make_bytes
from burstline.native.memory import I64, load_big_endian, store_big_endian
from burstline.packet.burst import INNER, Burst
from burstline.packet.burst_type import read
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import FRAGMENT, HEADER, HEADER_METHODS, OF_INNER, PRESENT, Field, Header
from burstline.packet.found_kernel import HERE
from burstline.packet.place import PLACES

i64 = types.int64
ZEROS = "burstline_zeros"  # 64 bytes, defined by kernels.py
EXTENSION_SYMBOL = "burstline_find_extension"
CHECKSUM_SYMBOLS = {"ipv4": "burstline_fix_ipv4", "l4": "burstline_fix_l4"}

INTEGER_FIELDS = ("length", "captured", "time", "port", "vlan_depth", "mpls_depth")


class PacketType(types.Type):
    """One packet: its burst and its index there. `level` is before the names of its columns: the packet itself has
    none, its inner one `inner_`."""

    def __init__(self, burst: Burst, level: str = "") -> None:
        self.burst, self.level = burst, level
        super().__init__(f"{'Inner' if level else ''}Packet({burst.capacity})")


class HeaderType(types.Type):
    """A view of one header of a packet."""

    def __init__(self, header: Header, burst: Burst, level: str = "", own: int = -1) -> None:
        self.header, self.burst, self.level = header, burst, level
        self.own = own  # the number of a protocol of the user's own
        fields = hash(header) if own >= 0 else 0  # two of one name may differ
        super().__init__(f"Header({header.name}, {level or 'outer'}, {burst.capacity}, {own}, {fields})")


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
            return HeaderType(HEADER[name], kind.burst, kind.level)
        if kind.level and name not in OF_INNER:
            return None
        if name in ("outer", "inner"):
            return PacketType(kind.burst, INNER if name == "inner" else "")
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
        if name == "options" and (kind.header.options or kind.own >= 0):
            return BYTES
        if name == "size" and kind.own >= 0:
            return i64
        if name == "fix_checksum" and kind.header.name in HEADER_METHODS[name]:
            return types.BoundFunction(_FixOneTemplate, kind)
        return None


class _Columns:
    """The columns of one packet, or of its inner one."""

    def __init__(self, builder: Any, kind: PacketType | HeaderType, base: Any, index: Any) -> None:
        self.builder, self.burst, self.level = builder, kind.burst, kind.level
        self.base, self.index = base, index

    def read(self, name: str) -> Any:
        """A column of the packet as a whole."""
        return read(self.builder, self.burst, self.base, name, self.index)

    def found(self, name: str) -> Any:
        """A column of what the parser found of this level."""
        if name == "l2" and not self.level:
            return I64(0)  # no other link layer shows headers that are found by it
        return self.read(self.level + name)

    def has(self, bits: int) -> Any:
        found = self.builder.and_(self.found("present"), I64(bits))
        return self.builder.icmp_unsigned("!=", found, I64(0))


def has_headers(context: Any, builder: Any, kind: PacketType, value: Any, bits: int) -> Any:
    """Whether a packet has one of the headers in `bits`."""
    packet = cgutils.create_struct_proxy(kind)(context, builder, value)
    return _Columns(builder, kind, packet.burst, packet.index).has(bits)


@lower_getattr_generic(PacketType)
def _packet_get(context: Any, builder: Any, kind: PacketType, value: Any, name: str) -> Any:
    if name in ("outer", "inner"):
        return value
    packet = cgutils.create_struct_proxy(kind)(context, builder, value)
    columns = _Columns(builder, kind, packet.burst, packet.index)
    if name in OF_INNER:
        return _found(context, columns, name)
    if name in INTEGER_FIELDS:
        return columns.read(name)
    return _header(context, builder, HeaderType(HEADER[name], kind.burst, kind.level), columns)


def _found(context: Any, columns: _Columns, name: str) -> Any:
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


def _if_here(columns: _Columns, number: Any) -> Any:
    return columns.builder.select(columns.has(HERE), number, I64(0)) if columns.level else number


def _zeros(builder: Any) -> Any:
    zeros = builder.module.globals.get(ZEROS)
    if zeros is None:
        zeros = ir.GlobalVariable(builder.module, ir.ArrayType(I64, 8), ZEROS)
        zeros.linkage = "external"
        zeros.global_constant = True
    return builder.ptrtoint(zeros, I64)


def _header(context: Any, builder: Any, kind: HeaderType, columns: _Columns) -> Any:
    name = kind.header.name
    here = columns.has(PRESENT[name])
    data = columns.read("data")
    if name in EXTENSION_PROTO:
        # Without one the walk starts in the zeros, and ends there: a packet without IP may be shorter than IP's header.
        walked = builder.select(here, data, _zeros(builder))
        l3, end = (builder.select(here, columns.found(column), I64(0)) for column in ("l3", "end"))
        offset = _call(builder, EXTENSION_SYMBOL, [walked, l3, end, I64(EXTENSION_PROTO[name])])
        here = builder.and_(here, builder.icmp_signed(">=", offset, I64(0)))  # a stage may have changed the chain
    else:
        column, added, count, sign = PLACES[name]
        offset = builder.add(columns.found(column), I64(added))
        if count:
            offset = builder.add(offset, builder.mul(columns.found(count), I64(4 * sign)))
    return _view(context, builder, kind, columns, here, builder.add(data, offset))


def _view(context: Any, builder: Any, kind: HeaderType, columns: _Columns, here: Any, address: Any) -> Any:
    view = cgutils.create_struct_proxy(kind)(context, builder)
    view.here = here
    view.address = builder.select(here, address, _zeros(builder))
    view.burst, view.index = columns.base, columns.index
    return view._getvalue()


def protocol_view(context: Any, builder: Any, kind: HeaderType, packet: PacketType, value: Any) -> Any:
    """The view of a protocol of the user's own: what its state wrote into the `protocols` column."""
    proxy = cgutils.create_struct_proxy(packet)(context, builder, value)
    columns = _Columns(builder, packet, proxy.burst, proxy.index)
    offset, _ = _own_place(columns, kind.own)
    here = builder.icmp_unsigned("!=", offset, I64(0))
    if packet.level:
        here = builder.and_(here, columns.has(HERE))
    return _view(context, builder, kind, columns, here, builder.add(columns.read("data"), offset))


def _own_place(columns: _Columns, number: int) -> tuple[Any, Any]:
    """Where a header of the user's own starts and ends."""
    builder = columns.builder
    place = builder.add(columns.found("protocols"), I64(8 * number))
    pair = builder.load(builder.inttoptr(place, ir.PointerType()), typ=I64)
    return builder.and_(pair, I64(0xFFFFFFFF)), builder.lshr(pair, I64(32))


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
        known = len(args) == 1 and (isinstance(args[0], HeaderType) or getattr(args[0], "level", "") == INNER)
        return signature(types.boolean, *args) if known else None


@lower_builtin(bool, HeaderType)
@lower_builtin(operator.truth, HeaderType)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0]).here


@lower_builtin(bool, PacketType)
@lower_builtin(operator.truth, PacketType)
def _inner_truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    return _Columns(builder, sig.args[0], packet.burst, packet.index).has(HERE)


@lower_builtin(operator.not_, HeaderType)
def _not(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(_truth(context, builder, sig, args))


@lower_builtin(operator.not_, PacketType)
def _inner_not(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(_inner_truth(context, builder, sig, args))


@lower_getattr_generic(HeaderType)
def _field_get(context: Any, builder: Any, kind: HeaderType, value: Any, name: str) -> Any:
    view = cgutils.create_struct_proxy(kind)(context, builder, value)
    field = kind.header.field(name)
    if field is None:
        return _variable_part(context, builder, kind, view, name)
    word = load_big_endian(builder, builder.add(view.address, I64(field.offset)), field.width)
    if field.kind in ("ipv4", "ipv6"):
        return word
    word = word if field.width == 8 else builder.zext(word, I64)
    if not field.whole:
        word = builder.and_(builder.lshr(word, I64(field.shift)), I64(field.mask))
    return builder.icmp_unsigned("!=", word, I64(0)) if field.kind == "bool" else word


def _variable_part(context: Any, builder: Any, kind: HeaderType, view: Any, name: str) -> Any:
    columns = _Columns(builder, kind, view.burst, view.index)
    if kind.own < 0:
        return _options(context, builder, kind, view, columns)
    start, after = _own_place(columns, kind.own)
    whole = builder.select(view.here, builder.sub(after, start), I64(0))
    if name == "size":
        return whole
    rest = builder.select(view.here, builder.sub(whole, I64(kind.header.size)), I64(0))
    return make_bytes(context, builder, builder.add(view.address, I64(kind.header.size)), rest)


def _options(context: Any, builder: Any, kind: HeaderType, view: Any, columns: _Columns) -> Any:
    """Between the fixed header and what the length field in it says, within the bytes that are here."""
    header = kind.header
    place = header.field("ihl" if header.name == "ipv4" else "data_offset")
    assert place is not None
    word = load_big_endian(builder, builder.add(view.address, I64(place.offset)), 1)
    words = builder.and_(builder.lshr(builder.zext(word, I64), I64(place.shift)), I64(place.mask))
    size = builder.sub(builder.mul(words, I64(4)), I64(header.size))
    limit = columns.read("captured") if header.name == "ipv4" else columns.found("end")
    room = builder.sub(builder.add(columns.read("data"), limit), builder.add(view.address, I64(header.size)))
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
        if field.kind == "bool":
            value = builder.zext(value, word)
        elif field.width < 8:
            value = builder.trunc(value, word)
        if not field.whole:
            old = load_big_endian(builder, address, field.width)
            placed = word(field.mask << field.shift)
            value = builder.and_(builder.shl(value, word(field.shift)), placed)
            value = builder.or_(builder.and_(old, builder.not_(placed)), value)
        store_big_endian(builder, value, address, field.width)


def _fix(columns: _Columns, what: str, bits: int) -> None:
    """Call the checksum function when one of the headers in `bits` is there."""
    with columns.builder.if_then(columns.has(bits)):
        found = [columns.found(c) for c in (["present", "l3", "l4"] if what == "l4" else ["present", "l3"])]
        _call(columns.builder, CHECKSUM_SYMBOLS[what], [columns.read("data"), columns.read("captured"), *found])


L4_WITH_CHECKSUM = PRESENT["tcp"] | PRESENT["udp"] | PRESENT["icmp"] | PRESENT["icmpv6"]


@lower_builtin("Packet.fix_checksums", PacketType)
def _fix_all(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
    columns = _Columns(builder, sig.args[0], packet.burst, packet.index)
    _fix(columns, "ipv4", PRESENT["ipv4"])
    _fix(columns, "l4", L4_WITH_CHECKSUM)
    return context.get_dummy_value()


@lower_builtin("Header.fix_checksum", HeaderType)
def _fix_one(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    view = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    name = kind.header.name
    _fix(_Columns(builder, kind, view.burst, view.index), "ipv4" if name == "ipv4" else "l4", PRESENT[name])
    return context.get_dummy_value()
