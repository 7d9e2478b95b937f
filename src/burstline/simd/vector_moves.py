"""Methods of vectors that move lanes, and those of kinds: bits of another kind, bytes of packets."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from burstline.native.bytes_type import BYTES, view_of
from burstline.native.memory import I32, I64
from burstline.simd.lanes import (
    address_lanes,
    gathered,
    intrinsic,
    load_part,
    looked_up,
    looked_up_beside,
    store_part,
)
from burstline.simd.vector_methods import i64, method, only_vector
from burstline.simd.vector_type import KindType, VectorType, converted, each, mask_of, packed, unpacked


@method(VectorType, "compress", lambda kind, mask: kind if kind.bits > 1 and mask == mask_of(kind) else None)
def _compress(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    zeros = ir.Constant(kind.llvm, None)
    if not kind.apart:
        name = f"llvm.experimental.vector.compress.{kind.overloaded}"
        return intrinsic(builder, name, kind.llvm, [args[0], args[1], zeros])
    room = cgutils.alloca_once(builder, kind.llvm)
    builder.store(zeros, room)
    at = I64(0)
    for value, chosen in zip(unpacked(builder, args[0]), unpacked(builder, args[1]), strict=True):
        place = builder.gep(room, [I32(0), at])
        builder.store(builder.select(chosen, value, kind.element(0)), place)
        at = builder.add(at, builder.zext(chosen, I64))
    return builder.load(room)


def _places(kind: VectorType, *places: Any) -> VectorType | None:
    numbers = [getattr(p, "literal_value", None) for p in places]
    fit = kind.bits > 1 and bool(places) and all(isinstance(n, int) and 0 <= n < kind.lanes for n in numbers)
    return VectorType(kind.bits, len(places)) if fit else None


@method(VectorType, "shuffle", _places, literal=True)
def _shuffle(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _chosen(builder, sig.return_type, [a.literal_value for a in sig.args[1:]], args[0])


def _chosen(builder: Any, kind: VectorType, places: list[int], value: Any, other: Any = None) -> Any:
    """Lanes of one vector, or of two that lie behind each other."""
    if kind.apart:
        lanes = unpacked(builder, value) + (unpacked(builder, other) if other else [])
        return packed(builder, kind, [lanes[p] for p in places])
    both = (value, other or ir.Constant(value.type, ir.Undefined))
    return builder.shuffle_vector(*both, ir.Constant(ir.VectorType(I32, len(places)), places))


def _strided(kind: VectorType, step: Any, first: Any) -> VectorType | None:
    by, start = (getattr(n, "literal_value", None) for n in (step, first))
    if kind.bits == 1 or not isinstance(by, int) or not isinstance(start, int) or not 0 <= start < by <= kind.lanes:
        return None
    return VectorType(kind.bits, len(range(start, kind.lanes, by)))


@method(VectorType, "every", _strided, literal=True)
def _every(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    step, first = (a.literal_value for a in sig.args[1:])
    return _chosen(builder, sig.return_type, list(range(first, sig.args[0].lanes, step)), args[0])


def _matrix(kind: VectorType, rows: Any) -> VectorType | None:
    count = getattr(rows, "literal_value", None)
    return kind if kind.bits > 1 and isinstance(count, int) and count > 0 and kind.lanes % count == 0 else None


@method(VectorType, "transpose", _matrix, literal=True)
def _transpose(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    lanes, rows = sig.args[0].lanes, sig.args[1].literal_value
    columns = lanes // rows
    return _chosen(builder, sig.return_type, [k % rows * columns + k // rows for k in range(lanes)], args[0])


def _both(a: VectorType, b: Any) -> VectorType | None:
    return VectorType(a.bits, 2 * a.lanes) if a == b and a.bits > 1 else None


@method(VectorType, "interleave", _both)
def _interleave(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    lanes = sig.args[0].lanes
    return _chosen(builder, sig.return_type, [k // 2 + k % 2 * lanes for k in range(2 * lanes)], *args)


@method(VectorType, "concat", _both)
def _concat(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _chosen(builder, sig.return_type, list(range(sig.return_type.lanes)), *args)


def _table(table: VectorType, indices: Any) -> VectorType | None:
    fit = isinstance(indices, VectorType) and min(indices.bits, table.bits) > 1
    return VectorType(table.bits, indices.lanes) if fit else None


@method(VectorType, "lookup", _table)
def _lookup(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return looked_up(builder, sig.args[0], sig.args[1], *args)


def _tables(tables: VectorType, indices: Any) -> VectorType | None:
    return tables if tables == indices and tables.bits == 8 and tables.lanes % 16 == 0 else None


@method(VectorType, "lookup_beside", _tables)
def _lookup_beside(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return looked_up_beside(builder, sig.args[0], *args)


def _cast_kind(kind: KindType, source: Any) -> VectorType | None:
    wanted = kind.vector
    fit = isinstance(source, VectorType) and min(source.bits, wanted.bits) > 1
    return wanted if fit and source.bits * source.lanes == wanted.bits * wanted.lanes else None


@method(KindType, "cast", _cast_kind)
def _cast(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type
    if not kind.apart:
        return builder.bitcast(args[1], kind.llvm)
    room = cgutils.alloca_once(builder, args[1].type)
    room.align = 64
    builder.store(args[1], room)
    return builder.load(builder.bitcast(room, kind.llvm.as_pointer()))


def _view_at(kind: VectorType | None, view: Any, at: Any = i64) -> VectorType | None:
    return kind if view == BYTES and isinstance(at, types.Integer) else None


def _from(context: Any, builder: Any, view: Any, at: Any, size: int) -> tuple[Any, Any]:
    """The address of byte `at`, and how many of `size` bytes from there lie within the view."""
    with cgutils.if_unlikely(builder, builder.icmp_signed("<", at, I64(0))):
        context.call_conv.return_user_exc(builder, IndexError, ("before the bytes of the packet",))
    left = builder.sub(view.size, at)
    left = builder.select(builder.icmp_signed("<", left, I64(0)), I64(0), left)
    left = builder.select(builder.icmp_signed(">", left, I64(size)), I64(size), left)
    return builder.add(view.address, at), left


@method(KindType, "load", lambda kind, view, at=i64: _view_at(only_vector(kind.vector), view, at))
def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type
    at = args[2] if len(args) > 2 else I64(0)
    address, left = _from(context, builder, view_of(context, builder, args[1]), at, kind.bits * kind.lanes // 8)
    return load_part(builder, kind, address, left)


@method(VectorType, "store", lambda kind, view, at=i64: types.none if _view_at(only_vector(kind), view, at) else None)
def _store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    at = args[2] if len(args) > 2 else I64(0)
    address, left = _from(context, builder, view_of(context, builder, args[1]), at, kind.bits * kind.lanes // 8)
    store_part(builder, kind, args[0], address, left)
    return context.get_dummy_value()


def _gather_kind(kind: KindType, view: Any, offsets: Any) -> VectorType | None:
    wanted = only_vector(kind.vector)
    fit = wanted and view == BYTES and isinstance(offsets, VectorType) and offsets.bits > 1
    return wanted if fit and wanted and offsets.lanes == wanted.lanes else None


@method(KindType, "gather", _gather_kind)
def _gather(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind, view = sig.return_type, view_of(context, builder, args[1])
    wide = VectorType(64, kind.lanes)
    offsets = converted(builder, sig.args[2], wide, args[2])
    mask = mask_of(kind)
    width = kind.bits // 8

    def within(offset: Any) -> Any:
        last = builder.sub(view.size, I64(width))
        limit = builder.select(builder.icmp_signed("<", last, I64(0)), I64(0), builder.add(last, I64(1)))
        if isinstance(offset.type, ir.VectorType):
            limit = builder.insert_element(ir.Constant(offset.type, ir.Undefined), limit, I32(0))
            places = ir.Constant(ir.VectorType(I32, kind.lanes), [0] * kind.lanes)
            limit = builder.shuffle_vector(limit, ir.Constant(offset.type, ir.Undefined), places)
        return builder.icmp_unsigned("<", offset, limit)

    inside = each(builder, mask, within, offsets)
    return gathered(builder, kind, address_lanes(builder, view.address, wide, offsets), inside)
