"""What vectors and masks have, in compiled code, lane by lane and over all lanes. Their meaning: `vectors.py`."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature

from burstline.native.memory import I32, I64
from burstline.simd.lanes import intrinsic
from burstline.simd.vector_type import (
    KindType,
    VectorType,
    bits_of_lane,
    converted,
    each,
    spread,
    unpacked,
)

i64 = types.int64
_NAMES = {VectorType: "Vector", KindType: "Kind"}  # in errors
METHODS: dict[tuple[type[types.Type], str], Any] = {}  # templates, by receiver and name
# (receiver, *arguments) -> what it returns, or None where it is not for these
Typing = Callable[..., types.Type | None]


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


def only_vector(kind: VectorType) -> VectorType | None:
    return kind if kind.bits > 1 else None


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


@method(VectorType, "popcount", only_vector)
def _popcount(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return each(builder, sig.args[0], lambda v: intrinsic(builder, f"llvm.ctpop.{spelled(v)}", v.type, [v]), args[0])


@method(VectorType, "byteswap", only_vector)
def _byteswap(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if sig.args[0].bits == 8:
        return args[0]
    return each(builder, sig.args[0], lambda v: intrinsic(builder, f"llvm.bswap.{spelled(v)}", v.type, [v]), args[0])


@method(VectorType, "rotate_left", lambda kind, n: kind if kind.bits > 1 and isinstance(n, types.Integer) else None)
def _rotate_left(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = sig.args[0]
    by = spread(builder, kind, args[1])
    return each(
        builder, kind, lambda v, n: intrinsic(builder, f"llvm.fshl.{spelled(v)}", v.type, [v, v, n]), args[0], by
    )


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
