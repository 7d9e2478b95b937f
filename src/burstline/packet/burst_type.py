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

from burstline.native.memory import I64, LOWERED, Primitive, load, primitive, store
from burstline.packet.burst import COLUMN, Burst, Column

i64 = types.int64


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
    """Address of one element."""
    return builder.add(base, builder.mul(index, I64(column.width)))


def read(builder: Any, burst: Burst, base: Any, name: str, index: Any) -> Any:
    """An element of a column as i64, given the burst's address; columns wider than that give their address."""
    column = COLUMN[name]
    address = element(builder, builder.add(base, I64(burst.offsets[name])), column, index)
    return _load(builder, column, address)


def _load(builder: Any, column: Column, address: Any) -> Any:
    if column.width > 8:
        return address
    value = load(builder, address, ir.IntType(8 * column.width), column.width)
    return value if column.width == 8 else builder.zext(value, I64)


@lower_builtin(operator.getitem, ColumnType, types.Integer)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    column = sig.args[0].column
    return _load(builder, column, element(builder, args[0], column, args[1]))


@lower_builtin(operator.setitem, ColumnType, types.Integer, types.Integer)
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    column = sig.args[0].column
    value = args[2] if column.width == 8 else builder.trunc(args[2], ir.IntType(8 * column.width))
    store(builder, value, element(builder, args[0], column, args[1]), column.width)
    return context.get_dummy_value()
