"""Views of bytes in compiled code: a payload, options, a field of a record; every access is checked."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import models, register_model

from burstline.native.lowered_cache import lasting
from burstline.native.memory import (
    I8,
    I32,
    I64,
    load,
    load_big_endian,
    pointer,
)

i64 = types.int64


@lasting
class BytesViewType(types.Type):
    """Bytes somewhere in a packet or record."""

    def __init__(self) -> None:
        super().__init__("BytesView")


BYTES = BytesViewType()


@register_model(BytesViewType)
class _BytesModel(models.StructModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: BytesViewType) -> None:
        super().__init__(manager, kind, [("address", i64), ("size", i64)])


def make_bytes(context: Any, builder: Any, address: Any, size: Any) -> Any:
    view = cgutils.create_struct_proxy(BYTES)(context, builder)
    view.address, view.size = address, size
    return view._getvalue()


def _literal(context: Any, builder: Any, value: Any) -> tuple[Any, Any]:
    """Address and size of a bytes literal."""
    array = cgutils.create_struct_proxy(types.Bytes(types.uint8, 1, "C"))(context, builder, value)  # type: ignore[attr-defined]
    return builder.ptrtoint(array.data, I64), array.nitems


def view_of(context: Any, builder: Any, value: Any) -> Any:
    return cgutils.create_struct_proxy(BYTES)(context, builder, value)


@infer_global(len)
class _Len(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, BYTES) if args == (BYTES,) else None


@lower_builtin(len, BytesViewType)
def _len(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return view_of(context, builder, args[0]).size


@infer_global(bool)
@infer_global(operator.truth)
@infer_global(operator.not_)
class _Truth(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.boolean, BYTES) if args == (BYTES,) else None


@lower_builtin(bool, BytesViewType)
@lower_builtin(operator.truth, BytesViewType)
def _truth(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed("!=", view_of(context, builder, args[0]).size, I64(0))


@lower_builtin(operator.not_, BytesViewType)
def _not(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.not_(_truth(context, builder, sig, args))


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
    address = _checked(context, builder, view_of(context, builder, args[0]), args[1], 1)
    return builder.zext(load(builder, address, I8), I64)


@lower_builtin(operator.getitem, BytesViewType, types.slice2_type)
def _slice(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = view_of(context, builder, args[0])
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
        address = _checked(context, builder, view_of(context, builder, args[0]), args[1], width)
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
    view = view_of(context, builder, args[0])
    address, size = _literal(context, builder, args[1])
    return _compare_if(builder, builder.icmp_signed(">=", view.size, size), view.address, address, size)


@infer_global(operator.eq)
@infer_global(operator.ne)
class _BytesEqual(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        known = all(a == BYTES or isinstance(a, types.Bytes) for a in args)  # type: ignore[attr-defined]
        return signature(types.boolean, *args) if len(args) == 2 and known and BYTES in args else None


def _extent(context: Any, builder: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """Address and size of a view or of a literal."""
    if kind == BYTES:
        view = view_of(context, builder, value)
        return view.address, view.size
    return _literal(context, builder, value)


def _equal(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    (a, size), (b, other) = (_extent(context, builder, k, v) for k, v in zip(sig.args, args, strict=True))
    return _compare_if(builder, builder.icmp_signed("==", size, other), a, b, size)


for _pair in ((BytesViewType, BytesViewType), (BytesViewType, types.Bytes), (types.Bytes, BytesViewType)):  # type: ignore[attr-defined]
    lower_builtin(operator.eq, *_pair)(_equal)
    lower_builtin(operator.ne, *_pair)(lambda c, b, s, a: b.not_(_equal(c, b, s, a)))


@lower_cast(types.Bytes, BytesViewType)  # type: ignore[attr-defined]
def _view_of_literal(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    return make_bytes(context, builder, *_literal(context, builder, value))
