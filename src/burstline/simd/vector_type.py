"""Vectors in compiled code: LLVM's own, which it puts into the widest registers that the target has.

Where the target is `scalar`, a vector is an array of numbers and each operation is done lane by lane: the same source,
to be measured and tested against. What vectors have is in `vector_methods.py`, their meaning in `vectors.py`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin, lower_constant
from numba.core.typing.templates import AbstractTemplate, builtin_registry, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.native.lowered_cache import lasting
from burstline.native.memory import I32, I64, LOWERED
from burstline.native.shift import python_lshift, python_rshift
from burstline.simd import level, vectors
from burstline.simd.vectors import MaskKind, VectorKind

i64 = types.int64
Emit = Callable[..., Any]


@lasting
class VectorType(types.Type):
    """Unsigned numbers of `bits` bits; a mask's lanes have one."""

    def __init__(self, bits: int, lanes: int) -> None:
        self.bits, self.lanes = bits, lanes
        self.apart = level.used() == "scalar"
        self.element = ir.IntType(bits)
        self.llvm = ir.ArrayType(self.element, lanes) if self.apart else ir.VectorType(self.element, lanes)
        super().__init__(f"{f'u{bits}x' if bits > 1 else 'mask of '}{lanes}{' lanes' if bits == 1 else ''}")

    @property
    def key(self) -> Any:
        return self.bits, self.lanes, self.apart

    @property
    def overloaded(self) -> str:
        """How LLVM's intrinsics spell the type."""
        return f"v{self.lanes}i{self.bits}"


def mask_of(kind: VectorType) -> VectorType:
    return VectorType(1, kind.lanes)


@register_model(VectorType)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, kind.llvm)


class KindType(types.Callable, types.Opaque):
    """`u32x16` itself: it is called, and has methods."""

    def __init__(self, kind: VectorKind | MaskKind) -> None:
        self.kind = kind
        self.vector = VectorType(kind.bits if isinstance(kind, VectorKind) else 1, kind.lanes)
        super().__init__(f"kind({kind}{', apart' if self.vector.apart else ''})")

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        wanted = self.vector
        if kws or not args:
            return None
        if len(args) == 1 and isinstance(args[0], VectorType) and wanted.bits > 1 < args[0].bits:
            return signature(wanted, *args) if args[0].lanes == wanted.lanes else None
        if not all(isinstance(a, (types.Integer, types.Boolean)) for a in args):
            return None
        if wanted.bits == 1:
            return signature(wanted, i64) if len(args) == 1 and wanted.lanes <= 64 else None
        return signature(wanted, *[i64] * len(args)) if len(args) in (1, wanted.lanes) else None

    def get_call_signatures(self) -> Any:
        return [], False

    def get_impl_key(self, sig: Any) -> Any:
        return KindType


register_model(KindType)(models.OpaqueModel)


@typeof_impl.register(VectorKind)
@typeof_impl.register(MaskKind)
def _kind(value: Any, context: Any) -> KindType:
    return KindType(value)


@lower_constant(KindType)
def _constant(context: Any, builder: Any, kind: KindType, value: Any) -> Any:
    return context.get_dummy_value()


def unpacked(builder: Any, value: Any) -> list[Any]:
    """The lanes of a vector or an array."""
    if isinstance(value.type, ir.ArrayType):
        return [builder.extract_value(value, k) for k in range(value.type.count)]
    return [builder.extract_element(value, I32(k)) for k in range(value.type.count)]


def packed(builder: Any, kind: VectorType, values: Sequence[Any]) -> Any:
    made = ir.Constant(kind.llvm, ir.Undefined)
    for k, value in enumerate(values):
        made = builder.insert_value(made, value, k) if kind.apart else builder.insert_element(made, value, I32(k))
    return made


def spread(builder: Any, kind: VectorType, value: Any) -> Any:
    """An int64 in every lane, or what is a vector already."""
    if value.type == kind.llvm:
        return value
    one = builder.trunc(value, kind.element) if kind.bits < 64 else value
    if kind.apart:
        return packed(builder, kind, [one] * kind.lanes)
    first = builder.insert_element(ir.Constant(kind.llvm, ir.Undefined), one, I32(0))
    places = ir.Constant(ir.VectorType(I32, kind.lanes), [0] * kind.lanes)
    return builder.shuffle_vector(first, ir.Constant(kind.llvm, ir.Undefined), places)


def each(builder: Any, kind: VectorType, emit: Emit, *values: Any) -> Any:
    """A vector of `kind`: what `emit` makes of vectors, or of each lane by itself where they are apart."""
    if not kind.apart:
        return emit(*values)
    return packed(builder, kind, [emit(*lane) for lane in zip(*(unpacked(builder, v) for v in values), strict=True)])


def constant_like(value: Any, number: int) -> Any:
    """The number, or a vector of it, in the type of a value."""
    return ir.Constant(value.type, [number] * value.type.count if isinstance(value.type, ir.VectorType) else number)


def bits_of_lane(value: Any) -> int:
    kind = value.type.element if isinstance(value.type, ir.VectorType) else value.type
    return int(kind.width)


def shifted(builder: Any, name: str, value: Any, count: Any) -> Any:
    """By as many bits as there are, or more, LLVM leaves it undefined; here nothing is left."""
    bits = bits_of_lane(value)
    within = builder.icmp_unsigned("<", count, constant_like(count, bits))
    moved = getattr(builder, name)(value, builder.and_(count, constant_like(count, bits - 1)))
    return builder.select(within, moved, constant_like(value, 0))


@lower_builtin(KindType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _construct(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type
    if kind.bits == 1:
        flags = [builder.trunc(builder.lshr(args[0], I64(k)), kind.element) for k in range(kind.lanes)]
        if kind.apart:
            return packed(builder, kind, flags)
        whole = ir.IntType(kind.lanes)
        return builder.bitcast(builder.trunc(args[0], whole) if kind.lanes < 64 else args[0], kind.llvm)
    if isinstance(sig.args[0], VectorType):
        return converted(builder, sig.args[0], kind, args[0])
    if len(args) == 1:
        return spread(builder, kind, args[0])
    return packed(builder, kind, [builder.trunc(a, kind.element) if kind.bits < 64 else a for a in args])


def converted(builder: Any, source: VectorType, kind: VectorType, value: Any) -> Any:
    """Lane by lane, widened by zeros or cut."""
    if source.bits == kind.bits:
        return value
    name = "zext" if source.bits < kind.bits else "trunc"
    return each(builder, kind, lambda v: getattr(builder, name)(v, _same_shape(v, kind)), value)


def _same_shape(value: Any, kind: VectorType) -> Any:
    return kind.llvm if isinstance(value.type, ir.VectorType) else kind.element


def _fit(args: Any) -> VectorType | None:
    """The vectors' kind where two operands go together: two of one kind, or one and a number."""
    kinds = [a for a in args if isinstance(a, VectorType)]
    others = [a for a in args if not isinstance(a, VectorType)]
    if len(args) != 2 or not kinds or any(k != kinds[0] for k in kinds):
        return None
    if not all(isinstance(a, types.Integer) and kinds[0].bits > 1 for a in others):
        return None
    return kinds[0]


def _teach(function: Any, gives_mask: bool, of_masks: bool, emit: Emit) -> None:
    """Numba learns an operation of two vectors, or of one and a number."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            kind = _fit(args)
            if kind is None or (kind.bits == 1 and not of_masks):
                return None
            given = (kind if isinstance(a, VectorType) else i64 for a in args)
            return signature(mask_of(kind) if gives_mask else kind, *given)

    if getattr(function, "__module__", "") == "_operator":
        infer_global(function)(Template)
    else:
        builtin_registry.register_global(function, types.Function(Template))

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = next(a for a in sig.args if isinstance(a, VectorType))
        both = (spread(builder, kind, a) for a in args)
        return each(builder, sig.return_type, lambda x, y: emit(builder, x, y), *both)

    for pair in ((VectorType, VectorType), (VectorType, types.Integer), (types.Integer, VectorType)):
        lower_builtin(function, *pair)(lower)


for _function, _name, _of_masks in (
    (operator.add, "add", False), (operator.sub, "sub", False), (operator.mul, "mul", False),
    (operator.and_, "and_", True), (operator.or_, "or_", True), (operator.xor, "xor", True),
):  # fmt: skip
    _teach(_function, False, _of_masks, lambda b, x, y, n=_name: getattr(b, n)(x, y))
# In users' functions shifts are calls of Python's (native/passes.py).
for _function, _name in (
    (operator.lshift, "shl"), (operator.rshift, "lshr"), (python_lshift, "shl"), (python_rshift, "lshr"),
):  # fmt: skip
    _teach(_function, False, False, lambda b, x, y, n=_name: shifted(b, n, x, y))
for _function, _sign in (
    (operator.eq, "=="), (operator.ne, "!="), (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"),
    (operator.ge, ">="),
):  # fmt: skip
    _teach(_function, True, False, lambda b, x, y, s=_sign: b.icmp_unsigned(s, x, y))
for _function, _sign in ((vectors.minimum, "<"), (vectors.maximum, ">")):
    LOWERED.add(_function)
    _teach(_function, False, False, lambda b, x, y, s=_sign: b.select(b.icmp_unsigned(s, x, y), x, y))


@infer_global(operator.invert)
class _Invert(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0], args[0]) if isinstance(args[0], VectorType) else None


@lower_builtin(operator.invert, VectorType)
def _invert(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return each(builder, sig.return_type, builder.not_, args[0])


class _Select(AbstractTemplate):  # type: ignore[misc]
    key = vectors.select

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) != 3 or not isinstance(args[0], VectorType) or args[0].bits != 1:
            return None
        kind = _fit(args[1:])
        if kind is None or kind.bits == 1 or kind.lanes != args[0].lanes:
            return None
        return signature(kind, args[0], *(kind if isinstance(a, VectorType) else i64 for a in args[1:]))


LOWERED.add(vectors.select)
builtin_registry.register_global(vectors.select, types.Function(_Select))


@lower_builtin(vectors.select, VectorType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _select(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.return_type
    a, b = (spread(builder, kind, v) for v in args[1:])
    return each(builder, kind, builder.select, args[0], a, b)
