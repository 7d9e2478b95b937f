"""The burst in compiled code: `burst.length[i]` reads and writes an element of a column."""

from __future__ import annotations

import functools
import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin, lower_getattr_generic
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    builtin_registry,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import models, register_model

from burstline.native.lowered_cache import lasting
from burstline.native.memory import I64, LOWERED, Primitive, pointer, primitive
from burstline.packet.burst import COLUMN, Burst, Column

i64 = types.int64
ARRAYS = frozenset({"length", "time", "port"})  # columns of numbers that stages do sums with, and no parser reads


@lasting
class BurstType(types.Type):
    def __init__(self, burst: Burst) -> None:
        self.burst = burst
        super().__init__(f"Burst({burst.capacity})")


class ColumnType(types.Type):
    def __init__(self, column: Column) -> None:
        self.column = column
        super().__init__(f"Column({column.name})")


for _kind in (BurstType, ColumnType):

    @register_model(_kind)
    class _Address(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, manager: Any, kind: types.Type) -> None:
            super().__init__(manager, kind, I64)


burst_address = Primitive("burst_address")  # the number behind a burst or a column, for code that is linked by name


class _AddressOf(AbstractTemplate):  # type: ignore[misc]
    key = burst_address

    def generic(self, args: Any, kws: Any) -> Any:
        fits = len(args) == 1 and isinstance(args[0], (BurstType, ColumnType))
        return signature(i64, *args) if fits else None


builtin_registry.register_global(burst_address, types.Function(_AddressOf))
LOWERED.add(burst_address)


@lower_builtin(burst_address, BurstType)
@lower_builtin(burst_address, ColumnType)
def _address_of(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return args[0]


@functools.cache
def burst_reference(burst: Burst) -> Any:
    """A function for compiled code that takes an address for a burst."""
    return primitive("burst_at", BurstType(burst), i64)(lambda builder, address: address)


@infer_getattr
class _Columns(AttributeTemplate):  # type: ignore[misc]
    key = BurstType

    def generic_resolve(self, kind: BurstType, name: str) -> Any:
        return ColumnType(COLUMN[name]) if name in COLUMN else None


@lower_getattr_generic(BurstType)
def _column(context: Any, builder: Any, kind: BurstType, value: Any, name: str) -> Any:
    return builder.add(value, I64(kind.burst.offsets[name]))


@infer_global(operator.getitem)
class _Get(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(i64, args[0], i64) if isinstance(args[0], ColumnType) else None


@infer_global(operator.setitem)
class _Set(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.void, args[0], i64, i64) if isinstance(args[0], ColumnType) else None


def element(builder: Any, base: Any, column: Column, index: Any) -> Any:
    """Address of one element, as a number."""
    return builder.add(base, builder.mul(index, I64(column.width)))


def _place(builder: Any, base: Any, column: Column, index: Any) -> Any:
    """A pointer to it. As an index into an array, LLVM sees that elements follow each other, and loops over them are
    vectorised without gathers. Of the parser's own columns it must not: lanes that it loads at once it would only take
    apart again, a fifth of the time of parsing."""
    if column.name not in ARRAYS:
        return pointer(builder, element(builder, base, column, index))
    return builder.gep(pointer(builder, base), [index], source_etype=ir.IntType(8 * column.width))


def read(builder: Any, burst: Burst, base: Any, name: str, index: Any) -> Any:
    """An element of a column as i64, given the burst's address; columns wider than that give their address."""
    return _load(builder, COLUMN[name], builder.add(base, I64(burst.offsets[name])), index)


def _load(builder: Any, column: Column, base: Any, index: Any) -> Any:
    if column.width > 8:
        return element(builder, base, column, index)
    value = builder.load(_place(builder, base, column, index), typ=ir.IntType(8 * column.width), align=column.width)
    return value if column.width == 8 else builder.zext(value, I64)


def write(builder: Any, burst: Burst, base: Any, name: str, index: Any, value: Any) -> None:
    """Set an element of a column, given the burst's address."""
    _store(builder, COLUMN[name], builder.add(base, I64(burst.offsets[name])), index, value)


def _store(builder: Any, column: Column, base: Any, index: Any, value: Any) -> None:
    value = value if column.width == 8 else builder.trunc(value, ir.IntType(8 * column.width))
    builder.store(value, _place(builder, base, column, index), align=column.width)


@lower_builtin(operator.getitem, ColumnType, types.Integer)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _load(builder, sig.args[0].column, args[0], args[1])


@lower_builtin(operator.setitem, ColumnType, types.Integer, types.Integer)
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _store(builder, sig.args[0].column, args[0], args[1], args[2])
    return context.get_dummy_value()
