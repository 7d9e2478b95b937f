"""Numba types for what compiled code handles besides numbers: addresses, views of bytes, references to structures."""

from __future__ import annotations

import operator
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Any, TypeVar

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_constant, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.native.memory import (
    I8,
    I16,
    I32,
    I64,
    load,
    load_big_endian,
    pointer,
    primitive,
    store,
    store_big_endian,
)
from burstline.native.struct import FieldType, Layout, Struct

i64 = types.int64
S = TypeVar("S", bound=Struct)


class AddressType(types.Type):
    """An IPv4 or IPv6 address; a 32-bit number, or the two 64-bit halves."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"IPv{version}Address")

    def can_convert_from(self, typingctx: Any, other: types.Type) -> Any:
        from numba.core.typeconv import Conversion

        return Conversion.safe if self.version == 4 and isinstance(other, types.Integer) else None


class BytesViewType(types.Type):
    """Bytes somewhere in a packet or record."""

    def __init__(self) -> None:
        super().__init__("BytesView")


class StructRefType(types.Type):
    """The address of a structure with this layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        super().__init__(f"StructRef({layout.name}, {hash(layout)})")


IPV4, IPV6, BYTES = AddressType(4), AddressType(6), BytesViewType()


@register_model(AddressType)
class _AddressModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: AddressType) -> None:
        super().__init__(manager, kind, I32 if kind.version == 4 else ir.IntType(128))


@register_model(BytesViewType)
class _BytesModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: BytesViewType) -> None:
        super().__init__(manager, kind, [("address", i64), ("size", i64)])


@register_model(StructRefType)
class _StructModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: StructRefType) -> None:
        super().__init__(manager, kind, I64)


# --- addresses -------------------------------------------------------------------------------------------------------


@typeof_impl.register(IPv4Address)
def _(value: IPv4Address, context: Any) -> types.Type:
    return IPV4


@typeof_impl.register(IPv6Address)
def _(value: IPv6Address, context: Any) -> types.Type:
    return IPV6


@lower_constant(AddressType)
def _constant_address(context: Any, builder: Any, kind: AddressType, value: Any) -> Any:
    return ir.Constant(I32 if kind.version == 4 else ir.IntType(128), int(value))


def _comparison(function: Any, symbol: str) -> None:
    @infer_global(function)
    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 2 and all(isinstance(a, AddressType) for a in args):
                same = args[0].version == args[1].version
                if same or symbol in ("==", "!="):
                    return signature(types.boolean, *args)
            return None

    @lower_builtin(function, AddressType, AddressType)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if sig.args[0].version != sig.args[1].version:
            return cgutils.bool_t(int(symbol == "!="))
        return builder.icmp_unsigned(symbol, *args)


for _function, _symbol in (
    (operator.eq, "=="),
    (operator.ne, "!="),
    (operator.lt, "<"),
    (operator.le, "<="),
    (operator.gt, ">"),
    (operator.ge, ">="),
):
    _comparison(_function, _symbol)


@infer_global(int)
class _IntOfAddress(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(i64, IPV4) if args == (IPV4,) else None


@lower_builtin(int, AddressType)
def _int_of_address(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.zext(args[0], I64)


# --- views of bytes ---------------------------------------------------------------------------------------------------


def make_bytes(context: Any, builder: Any, address: Any, size: Any) -> Any:
    view = cgutils.create_struct_proxy(BYTES)(context, builder)
    view.address, view.size = address, size
    return view._getvalue()


def _literal(context: Any, builder: Any, value: Any) -> tuple[Any, Any]:
    """Address and size of a bytes literal."""
    array = cgutils.create_struct_proxy(types.Bytes(types.uint8, 1, "C"))(context, builder, value)  # type: ignore[attr-defined]
    return builder.ptrtoint(array.data, I64), array.nitems


def _view(context: Any, builder: Any, value: Any) -> Any:
    return cgutils.create_struct_proxy(BYTES)(context, builder, value)


@infer_global(len)
class _Len(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, BYTES) if args == (BYTES,) else None


@lower_builtin(len, BytesViewType)
def _len(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _view(context, builder, args[0]).size


@infer_global(bool)
@infer_global(operator.truth)
class _Truth(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.boolean, BYTES) if args == (BYTES,) else None


@lower_builtin(bool, BytesViewType)
@lower_builtin(operator.truth, BytesViewType)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed("!=", _view(context, builder, args[0]).size, I64(0))


@infer_global(operator.getitem)
class _Item(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and args[0] == BYTES:
            if isinstance(args[1], types.Integer):
                return signature(i64, BYTES, i64)
            if args[1] == types.slice2_type:
                return signature(BYTES, BYTES, types.slice2_type)
        return None


def _checked(context: Any, builder: Any, view: Any, index: Any, width: int) -> Any:
    """The address of `width` bytes at `index`, which may count from the end; IndexError when they are not there."""
    from_end = builder.icmp_signed("<", index, I64(0))
    at = builder.select(from_end, builder.add(index, view.size), index)
    outside = builder.or_(
        builder.icmp_signed("<", at, I64(0)),
        builder.icmp_signed(">", builder.add(at, I64(width)), view.size),
    )
    with cgutils.if_unlikely(builder, outside):
        context.call_conv.return_user_exc(builder, IndexError, ("outside the bytes of the packet",))
    return builder.add(view.address, at)


@lower_builtin(operator.getitem, BytesViewType, types.Integer)
def _item(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    address = _checked(context, builder, _view(context, builder, args[0]), args[1], 1)
    return builder.zext(load(builder, address, I8), I64)


@lower_builtin(operator.getitem, BytesViewType, types.slice2_type)
def _slice(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = _view(context, builder, args[0])
    part = cgutils.create_struct_proxy(types.slice2_type)(context, builder, args[1])

    def clamp(value: Any) -> Any:
        negative = builder.icmp_signed("<", value, I64(0))
        value = builder.select(negative, builder.add(value, view.size), value)
        value = builder.select(builder.icmp_signed("<", value, I64(0)), I64(0), value)
        return builder.select(builder.icmp_signed(">", value, view.size), view.size, value)

    start, stop = clamp(part.start), clamp(part.stop)
    size = builder.sub(stop, start)
    size = builder.select(builder.icmp_signed("<", size, I64(0)), I64(0), size)
    return make_bytes(context, builder, builder.add(view.address, start), size)


@infer_getattr
class _BytesAttributes(AttributeTemplate):  # type: ignore[misc]
    key = BytesViewType

    def generic_resolve(self, kind: BytesViewType, name: str) -> Any:
        if name in ("be16", "be32"):
            return types.BoundFunction(_be(name), kind)
        if name == "startswith":
            return types.BoundFunction(_StartsWith, kind)
        return None


class _StartsWith(AbstractTemplate):  # type: ignore[misc]
    key = "BytesView.startswith"

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], types.Bytes):  # type: ignore[attr-defined]
            return signature(types.boolean, args[0], recvr=self.this)
        return None


def _be(name: str) -> Any:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = f"BytesView.{name}"

        def generic(self, args: Any, kws: Any) -> Any:
            if len(args) == 1 and isinstance(args[0], types.Integer):
                return signature(i64, i64, recvr=self.this)
            return None

    return Template


def _lower_be(name: str, width: int) -> None:
    @lower_builtin(f"BytesView.{name}", BytesViewType, types.Integer)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        address = _checked(context, builder, _view(context, builder, args[0]), args[1], width)
        return builder.zext(load_big_endian(builder, address, width), I64)


_lower_be("be16", 2)
_lower_be("be32", 4)


def _same_bytes(builder: Any, a: Any, b: Any, size: Any) -> Any:
    name = "bcmp"
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(I32, [ir.PointerType(), ir.PointerType(), I64]), name
    )
    return builder.icmp_signed("==", builder.call(function, [pointer(builder, a), pointer(builder, b), size]), I32(0))


def _compare_if(builder: Any, condition: Any, a: Any, b: Any, size: Any) -> Any:
    """`condition and a[:size] == b[:size]`, reading nothing when the condition fails."""
    size = builder.select(condition, size, I64(0))
    return builder.and_(condition, _same_bytes(builder, a, b, size))


@lower_builtin("BytesView.startswith", BytesViewType, types.Bytes)  # type: ignore[attr-defined]
def _startswith(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = _view(context, builder, args[0])
    address, size = _literal(context, builder, args[1])
    return _compare_if(builder, builder.icmp_signed(">=", view.size, size), view.address, address, size)


@infer_global(operator.eq)
@infer_global(operator.ne)
class _BytesEqual(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and args[0] == BYTES and (args[1] == BYTES or isinstance(args[1], types.Bytes)):  # type: ignore[attr-defined]
            return signature(types.boolean, *args)
        return None


def _equal(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = _view(context, builder, args[0])
    if sig.args[1] == BYTES:
        other = _view(context, builder, args[1])
        address, size = other.address, other.size
    else:
        address, size = _literal(context, builder, args[1])
    return _compare_if(builder, builder.icmp_signed("==", view.size, size), view.address, address, size)


for _other in (BytesViewType, types.Bytes):  # type: ignore[attr-defined]
    lower_builtin(operator.eq, BytesViewType, _other)(_equal)
    lower_builtin(operator.ne, BytesViewType, _other)(lambda c, b, s, a: b.not_(_equal(c, b, s, a)))


def reference(struct: type[S]) -> Callable[[int], S]:
    """A function for compiled code that takes an address for a structure: `slot_at = reference(Slot)`."""
    at: Any = primitive(f"{struct.__name__}_at", StructRefType(struct.layout), i64)(lambda builder, address: address)
    take: Callable[[int], S] = at
    return take


# --- references to structures -----------------------------------------------------------------------------------------


def field_value_type(field: FieldType) -> types.Type:
    """What a field reads as: every integer as int64, so that arithmetic with literals stays integral."""
    return {
        "float": types.float64,
        "bool": types.boolean,
        "ipv4": IPV4,
        "ipv6": IPV6,
        "bytes": BYTES,
    }.get(field.kind, i64)


@infer_getattr
class _StructAttributes(AttributeTemplate):  # type: ignore[misc]
    key = StructRefType

    def generic_resolve(self, kind: StructRefType, name: str) -> Any:
        slot = kind.layout.slot(name)
        return field_value_type(slot.type) if slot else None


_INTEGERS = {1: I8, 2: I16, 4: I32, 8: I64}


@lower_getattr_generic(StructRefType)
def _get(context: Any, builder: Any, kind: StructRefType, value: Any, name: str) -> Any:
    slot = kind.layout.slot(name)
    assert slot is not None
    address = builder.add(value, I64(slot.offset))
    field = slot.type
    if field.kind == "bytes":
        return make_bytes(context, builder, address, I64(field.size))
    if field.kind == "ipv6":
        return load_big_endian(builder, address, 16)
    if field.kind == "ipv4":
        return load(builder, address, I32, 4)
    if field.kind == "float":
        raw = load(builder, address, ir.FloatType() if field.size == 4 else ir.DoubleType(), field.size)
        return builder.fpext(raw, ir.DoubleType()) if field.size == 4 else raw
    raw = load(builder, address, _INTEGERS[field.size], field.size)
    if field.kind == "bool":
        return builder.icmp_unsigned("!=", raw, I8(0))
    if field.size == 8:
        return raw
    return builder.sext(raw, I64) if field.kind == "int" else builder.zext(raw, I64)


@lower_setattr_generic(StructRefType)
def _set(context: Any, builder: Any, sig: Any, args: Any, name: str) -> None:
    reference, value = args
    slot = sig.args[0].layout.slot(name)
    address = builder.add(reference, I64(slot.offset))
    value = context.cast(builder, value, sig.args[1], field_value_type(slot.type))
    field = slot.type
    if field.kind == "bytes":
        view = _view(context, builder, value)
        fits = builder.icmp_signed("<", view.size, I64(field.size))
        size = builder.select(fits, view.size, I64(field.size))
        builder.call(builder.module.declare_intrinsic("llvm.memset", [ir.PointerType(), I64]), [
            pointer(builder, address), I8(0), I64(field.size), ir.IntType(1)(0)
        ])  # fmt: skip
        builder.call(builder.module.declare_intrinsic("llvm.memmove", [ir.PointerType(), ir.PointerType(), I64]), [
            pointer(builder, address), pointer(builder, view.address), size, ir.IntType(1)(0)
        ])  # fmt: skip
    elif field.kind == "ipv6":
        store_big_endian(builder, value, address, 16)
    elif field.kind == "float":
        narrow = builder.fptrunc(value, ir.FloatType()) if field.size == 4 else value
        store(builder, narrow, address, field.size)
    elif field.kind == "bool":
        store(builder, builder.zext(value, I8), address)
    elif field.kind == "ipv4" or field.size == 8:
        store(builder, value, address, field.size)
    else:
        store(builder, builder.trunc(value, _INTEGERS[field.size]), address, field.size)
