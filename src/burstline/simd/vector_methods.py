"""What vectors, masks and their kinds have, in compiled code. Their meaning: `vectors.py`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature

from burstline.native.bytes_type import BYTES, view_of
from burstline.native.memory import I32, I64
from burstline.simd.lanes import address_lanes, gathered, load_part, looked_up, looked_up_beside, store_part
from burstline.simd.vector_type import (
    KindType,
    VectorType,
    bits_of_lane,
    converted,
    each,
    mask_of,
    packed,
    unpacked,
)

i64 = types.int64
_NAMES = {VectorType: "Vector", KindType: "Kind"}  # in errors
METHODS: dict[tuple[type[types.Type], str], Any] = {}  # templates, by receiver and name
Typing = Callable[
    ..., types.Type | None
]  # (receiver, *arguments) -> what it returns, or None where it is not for these


def method(
    receiver: type[types.Type], name: str, typing: Typing, literal: bool = False
) -> Callable[[Callable[..., Any]], None]:
    """Decorator of `lower(context, builder, sig, args)`: a method of a vector, a mask or a kind. What its type depends
    on the values of is `literal`."""
    label = f"{_NAMES[receiver]}.{name}"

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = label
        prefer_literal = literal

        def generic(self, args: Any, kws: Any) -> Any:
            try:
                returns = None if kws else typing(self.this, *args)
            except TypeError:  # another number of arguments
                return None
            if returns is None:
                return None
            plain = [i64 if isinstance(a, types.Integer) and not literal else a for a in args]
            return signature(returns, *plain, recvr=self.this)

    METHODS[receiver, name] = Template

    def register(lower: Callable[..., Any]) -> None:
        lower_builtin(label, types.VarArg(types.Any))(lower)  # type: ignore[attr-defined]

    return register


for _receiver in (VectorType, KindType):

    @infer_getattr
    class _Attributes(AttributeTemplate):  # type: ignore[misc]
        key = _receiver

        def generic_resolve(self, kind: Any, name: str) -> Any:
            template = METHODS.get((type(kind), name))
            return types.BoundFunction(template, kind) if template else None


def _vector(kind: VectorType) -> VectorType | None:
    return kind if kind.bits > 1 else None


def intrinsic(builder: Any, name: str, returns: ir.Type, args: list[Any]) -> Any:
    kind = ir.FunctionType(returns, [a.type for a in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args)


def spelled(value: Any) -> str:
    """How LLVM's intrinsics spell the type of a value, be it a vector or one lane."""
    lanes = f"v{value.type.count}" if isinstance(value.type, ir.VectorType) else ""
    return f"{lanes}i{bits_of_lane(value)}"


# Reductions.


def _reduced(name: str, sign: str) -> None:
    @method(VectorType, name, lambda kind: i64 if kind.bits > 1 else None)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = sig.args[0]
        if kind.apart:
            found, *rest = unpacked(builder, args[0])
            for lane in rest:
                found = builder.select(builder.icmp_unsigned(sign, found, lane), found, lane)
        else:
            found = intrinsic(builder, f"llvm.vector.reduce.u{name}.{kind.overloaded}", kind.element, [args[0]])
        return builder.zext(found, I64) if kind.bits < 64 else found


_reduced("min", "<")
_reduced("max", ">")


@method(VectorType, "sum", lambda kind: i64 if kind.bits > 1 else None)
def _sum(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    wide = VectorType(64, kind.lanes)
    value = converted(builder, kind, wide, args[0])
    if kind.apart:
        total, *rest = unpacked(builder, value)
        for lane in rest:
            total = builder.add(total, lane)
        return total
    return intrinsic(builder, f"llvm.vector.reduce.add.{wide.overloaded}", I64, [value])


def _whole(builder: Any, kind: VectorType, mask: Any) -> Any:
    """A mask as one integer of as many bits."""
    integer = ir.IntType(kind.lanes)
    if not kind.apart:
        return builder.bitcast(mask, integer)
    made = integer(0)
    for k, lane in enumerate(unpacked(builder, mask)):
        bit = builder.zext(lane, integer) if kind.lanes > 1 else lane
        made = builder.or_(made, builder.shl(bit, integer(k)))
    return made


def _of_mask(kind: VectorType, most: int = 1 << 30) -> bool:
    return kind.bits == 1 and kind.lanes <= most


@method(VectorType, "any", lambda kind: types.boolean if _of_mask(kind) else None)
def _any(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    whole = _whole(builder, sig.args[0], args[0])
    return builder.icmp_unsigned("!=", whole, whole.type(0))


@method(VectorType, "all", lambda kind: types.boolean if _of_mask(kind) else None)
def _all(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    whole = _whole(builder, sig.args[0], args[0])
    return builder.icmp_unsigned("==", whole, whole.type(-1))


@method(VectorType, "count", lambda kind: i64 if _of_mask(kind) else None)
def _count(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    whole = _whole(builder, sig.args[0], args[0])
    found = intrinsic(builder, f"llvm.ctpop.i{sig.args[0].lanes}", whole.type, [whole])
    lanes = sig.args[0].lanes
    return builder.zext(found, I64) if lanes < 64 else builder.trunc(found, I64) if lanes > 64 else found


@method(VectorType, "bits", lambda kind: i64 if _of_mask(kind, 64) else None)
def _bits(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    whole = _whole(builder, sig.args[0], args[0])
    return builder.zext(whole, I64) if sig.args[0].lanes < 64 else whole


# Lane by lane.


@method(VectorType, "popcount", _vector)
def _popcount(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return each(builder, sig.args[0], lambda v: intrinsic(builder, f"llvm.ctpop.{spelled(v)}", v.type, [v]), args[0])


@method(VectorType, "byteswap", _vector)
def _byteswap(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if sig.args[0].bits == 8:
        return args[0]
    return each(builder, sig.args[0], lambda v: intrinsic(builder, f"llvm.bswap.{spelled(v)}", v.type, [v]), args[0])


@method(VectorType, "rotate_left", lambda kind, n: kind if kind.bits > 1 and isinstance(n, types.Integer) else None)
def _rotate_left(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    count = builder.trunc(args[1], kind.element) if kind.bits < 64 else args[1]

    def emit(v: Any) -> Any:
        by = count
        if isinstance(v.type, ir.VectorType):
            first = builder.insert_element(ir.Constant(v.type, ir.Undefined), count, I32(0))
            places = ir.Constant(ir.VectorType(I32, kind.lanes), [0] * kind.lanes)
            by = builder.shuffle_vector(first, ir.Constant(v.type, ir.Undefined), places)
        return intrinsic(builder, f"llvm.fshl.{spelled(v)}", v.type, [v, v, by])

    return each(builder, kind, emit, args[0])


# Lanes that move.


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


@infer_global(len)
class _Len(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, *args) if isinstance(args[0], VectorType) else None


@lower_builtin(len, VectorType)
def _len(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return I64(sig.args[0].lanes)


@infer_global(operator.getitem)
class _Lane(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        fits = isinstance(args[0], VectorType) and args[0].bits > 1 and isinstance(args[1], types.Integer)
        return signature(i64, args[0], i64) if fits else None


@lower_builtin(operator.getitem, VectorType, types.Integer)
def _lane(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    index = builder.select(builder.icmp_signed("<", args[1], I64(0)), builder.add(args[1], I64(kind.lanes)), args[1])
    with cgutils.if_unlikely(builder, builder.icmp_unsigned(">=", index, I64(kind.lanes))):
        context.call_conv.return_user_exc(builder, IndexError, ("there is no such lane",))
    if kind.apart:
        room = cgutils.alloca_once(builder, kind.llvm)
        builder.store(args[0], room)
        found = builder.load(builder.gep(room, [I32(0), index]))
    else:
        found = builder.extract_element(args[0], index)
    return builder.zext(found, I64) if kind.bits < 64 else found


# Kinds: bits of another kind, and bytes of packets.


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


@method(KindType, "load", lambda kind, view, at=i64: _view_at(_vector(kind.vector), view, at))
def _load(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type
    at = args[2] if len(args) > 2 else I64(0)
    address, left = _from(context, builder, view_of(context, builder, args[1]), at, kind.bits * kind.lanes // 8)
    return load_part(builder, kind, address, left)


@method(VectorType, "store", lambda kind, view, at=i64: types.none if _view_at(_vector(kind), view, at) else None)
def _store(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    at = args[2] if len(args) > 2 else I64(0)
    address, left = _from(context, builder, view_of(context, builder, args[1]), at, kind.bits * kind.lanes // 8)
    store_part(builder, kind, args[0], address, left)
    return context.get_dummy_value()


def _gather_kind(kind: KindType, view: Any, offsets: Any) -> VectorType | None:
    wanted = _vector(kind.vector)
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
