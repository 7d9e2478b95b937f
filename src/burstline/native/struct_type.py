"""Structures in compiled code: an address whose fields read and write as attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin, lower_getattr_generic, lower_setattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    builtin_registry,
    infer_getattr,
    signature,
)
from numba.extending import models, register_model

from burstline.native.address_type import IPV4, IPV6
from burstline.native.bytes_type import BYTES, make_bytes, view_of
from burstline.native.lowered_cache import lasting
from burstline.native.memory import (
    I8,
    I16,
    I32,
    I64,
    LOWERED,
    Primitive,
    load,
    load_big_endian,
    pointer,
    primitive,
    store,
    store_big_endian,
)
from burstline.native.spelling import spelling
from burstline.native.struct import FieldType, Layout, Slot, Struct

i64 = types.int64
S = TypeVar("S", bound=Struct)


@dataclass(frozen=True)
class Halves:
    """Where the cold halves of structures are: at `symbol` lie the addresses of number 0's hot and cold half, so many
    bytes behind it; from one number to the next are `stride` and `cold_stride` bytes."""

    symbol: str
    hot_at: int
    cold_at: int
    stride: int
    cold_stride: int


@lasting
class StructRefType(types.Type):
    """The address of a structure with this layout, or of its hot half."""

    def __init__(self, layout: Layout, halves: Halves | None = None) -> None:
        self.layout, self.halves = layout, halves
        super().__init__(f"StructRef({layout.name}, {spelling(layout)}, {halves})")


def _address(builder: Any, kind: StructRefType, value: Any, slot: Slot) -> Any:
    """Of a field."""
    if slot.half == 0:
        return builder.add(value, I64(slot.offset))
    halves = kind.halves
    assert halves is not None, f"{kind.layout.name}.{slot.name} lies in another half"
    symbol = builder.module.globals.get(halves.symbol)
    if symbol is None:
        symbol = ir.GlobalVariable(builder.module, I64, halves.symbol)
        symbol.linkage = "external"
    head = builder.ptrtoint(symbol, I64)
    hot = load(builder, builder.add(head, I64(halves.hot_at)), I64, 8)
    cold = load(builder, builder.add(head, I64(halves.cold_at)), I64, 8)
    number = builder.sdiv(builder.sub(value, hot), I64(halves.stride), flags=["exact"])
    return builder.add(builder.add(cold, builder.mul(number, I64(halves.cold_stride))), I64(slot.offset))


@register_model(StructRefType)
class _StructModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: StructRefType) -> None:
        super().__init__(manager, kind, I64)


def reference(struct: type[S]) -> Callable[[int], S]:
    """A function for compiled code that takes an address for a structure: `slot_at = reference(Slot)`."""
    at: Any = primitive(f"{struct.__name__}_at", StructRefType(struct.layout), i64)(lambda builder, address: address)
    take: Callable[[int], S] = at
    return take


struct_address = Primitive("struct_address")  # the number behind a structure, for atomic access to a field of it


class _AddressOf(AbstractTemplate):  # type: ignore[misc]
    key = struct_address

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(i64, *args) if len(args) == 1 and isinstance(args[0], StructRefType) else None


builtin_registry.register_global(struct_address, types.Function(_AddressOf))
LOWERED.add(struct_address)


@lower_builtin(struct_address, StructRefType)
def _struct_address(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return args[0]


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
    address = _address(builder, kind, value, slot)
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
    address = _address(builder, sig.args[0], reference, slot)
    value = context.cast(builder, value, sig.args[1], field_value_type(slot.type))
    field = slot.type
    if field.kind == "bytes":
        view = view_of(context, builder, value)
        fits = builder.icmp_signed("<", view.size, I64(field.size))
        size = builder.select(fits, view.size, I64(field.size))
        start, end = pointer(builder, address), pointer(builder, builder.add(address, size))
        move = builder.module.declare_intrinsic("llvm.memmove", [ir.PointerType(), ir.PointerType(), I64])
        fill = builder.module.declare_intrinsic("llvm.memset", [ir.PointerType(), I64])
        builder.call(move, [start, pointer(builder, view.address), size, ir.IntType(1)(0)])  # it may be of this field
        builder.call(fill, [end, I8(0), builder.sub(I64(field.size), size), ir.IntType(1)(0)])
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
