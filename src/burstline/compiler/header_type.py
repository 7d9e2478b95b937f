"""Header views in compiled code: every field is a load from the header's bytes.

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

from burstline.compiler.columns import Columns, call, fix, zeros
from burstline.native.address_type import IPV4, IPV6
from burstline.native.bytes_type import BYTES, make_bytes
from burstline.native.memory import I64, load_big_endian, store_big_endian
from burstline.native.spelling import spelling
from burstline.packet.burst import Burst
from burstline.packet.extension import EXTENSION_PROTO
from burstline.packet.fields import HEADER_METHODS, PRESENT, Field, Header
from burstline.packet.place import PLACES

i64 = types.int64
EXTENSION_SYMBOL = "burstline_find_extension"


class HeaderType(types.Type):
    """A view of one header of a packet."""

    def __init__(self, header: Header, burst: Burst, level: str = "", own: int = -1) -> None:
        self.header, self.burst, self.level = header, burst, level
        self.own = own  # the number of a protocol of the user's own
        fields = spelling(header) if own >= 0 else 0  # two of one name may differ
        super().__init__(f"Header({header.name}, {level or 'outer'}, {burst.capacity}, {own}, {fields})")


@register_model(HeaderType)
class _HeaderModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: HeaderType) -> None:
        super().__init__(manager, kind, [("address", i64), ("here", types.boolean), ("burst", i64), ("index", i64)])


class _FixTemplate(AbstractTemplate):  # type: ignore[misc]
    key = "Header.fix_checksum"

    def generic(self, args: Any, kws: Any) -> Any:
        return None if args or kws else signature(types.none, recvr=self.this)


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
            return types.BoundFunction(_FixTemplate, kind)
        return None


def header_view(context: Any, builder: Any, kind: HeaderType, columns: Columns) -> Any:
    name = kind.header.name
    here = columns.has(PRESENT[name])
    data = columns.read("data")
    if name in EXTENSION_PROTO:
        # Without one the walk starts in the zeros, and ends there: a packet without IP may be shorter than IP's header.
        walked = builder.select(here, data, zeros(builder))
        l3, end = (builder.select(here, columns.found(column), I64(0)) for column in ("l3", "end"))
        offset = call(builder, EXTENSION_SYMBOL, [walked, l3, end, I64(EXTENSION_PROTO[name])])
        here = builder.and_(here, builder.icmp_signed(">=", offset, I64(0)))  # a stage may have changed the chain
    else:
        column, added, count, sign = PLACES[name]
        offset = builder.add(columns.found(column), I64(added))
        if count:
            offset = builder.add(offset, builder.mul(columns.found(count), I64(4 * sign)))
    return view_at(context, builder, kind, columns, here, builder.add(data, offset))


def view_at(context: Any, builder: Any, kind: HeaderType, columns: Columns, here: Any, address: Any) -> Any:
    view = cgutils.create_struct_proxy(kind)(context, builder)
    view.here = here
    view.address = builder.select(here, address, zeros(builder))
    view.burst, view.index = columns.base, columns.index
    return view._getvalue()


def own_place(columns: Columns, number: int) -> tuple[Any, Any]:
    """Where a header of the user's own starts and ends."""
    builder = columns.builder
    place = builder.add(columns.found("protocols"), I64(8 * number))
    pair = builder.load(builder.inttoptr(place, ir.PointerType()), typ=I64)
    return builder.and_(pair, I64(0xFFFFFFFF)), builder.lshr(pair, I64(32))


@infer_global(bool)
@infer_global(operator.truth)
@infer_global(operator.not_)
class _Truth(AbstractTemplate):  # type: ignore[misc]
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
    columns = Columns(builder, kind, view.burst, view.index)
    if kind.own < 0:
        return _options(context, builder, kind, view, columns)
    start, after = own_place(columns, kind.own)
    whole = builder.select(view.here, builder.sub(after, start), I64(0))
    if name == "size":
        return whole
    rest = builder.select(view.here, builder.sub(whole, I64(kind.header.size)), I64(0))
    return make_bytes(context, builder, builder.add(view.address, I64(kind.header.size)), rest)


def _options(context: Any, builder: Any, kind: HeaderType, view: Any, columns: Columns) -> Any:
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


@lower_builtin("Header.fix_checksum", HeaderType)
def _fix_one(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    view = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    name = kind.header.name
    fix(Columns(builder, kind, view.burst, view.index), "ipv4" if name == "ipv4" else "l4", PRESENT[name])
    return context.get_dummy_value()
