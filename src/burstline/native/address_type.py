"""IPv4 and IPv6 addresses in compiled code: numbers of 32 and 128 bits that compare as addresses do."""

from __future__ import annotations

import operator
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_cast, lower_constant
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.native.lowered_cache import lasting
from burstline.native.memory import (
    I32,
    I64,
)

i64 = types.int64


@lasting
class AddressType(types.Type):
    """An IPv4 or IPv6 address; a 32-bit number, or the two 64-bit halves."""

    def __init__(self, version: int) -> None:
        self.version = version
        super().__init__(f"IPv{version}Address")


IPV4, IPV6 = AddressType(4), AddressType(6)


@register_model(AddressType)
class _AddressModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: AddressType) -> None:
        super().__init__(manager, kind, I32 if kind.version == 4 else ir.IntType(128))


@typeof_impl.register(IPv4Address)
def _(value: IPv4Address, context: Any) -> types.Type:
    return IPV4


@typeof_impl.register(IPv6Address)
def _(value: IPv6Address, context: Any) -> types.Type:
    return IPV6


@lower_constant(AddressType)
def _constant_address(context: Any, builder: Any, kind: AddressType, value: Any) -> Any:
    return ir.Constant(I32 if kind.version == 4 else ir.IntType(128), int(value))


@lower_cast(types.Integer, AddressType)
def _of_number(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    """A number may be assigned to a field that is an IPv4 address; to a name that holds one it may not."""
    if target.version != 4:
        raise NotImplementedError(f"a number is no {target}")
    return context.cast(builder, value, source, types.uint32)


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
