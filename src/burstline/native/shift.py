"""Shifts by any number, as Python's: a negative one raises ValueError, and what is shifted out of 64 bits is gone."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature

from burstline.native.memory import I64, LOWERED, Primitive

i64 = types.int64
python_lshift, python_rshift = Primitive("lshift"), Primitive("rshift")


def _define(function: Primitive) -> None:
    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            numbers = len(args) == 2 and all(isinstance(a, (types.Integer, types.Boolean)) for a in args)
            return signature(i64, i64, i64) if numbers else None

    builtin_registry.register_global(function, types.Function(Template))
    LOWERED.add(function)

    @lower_builtin(function, types.Integer, types.Integer)
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        value, count = args
        with cgutils.if_unlikely(builder, builder.icmp_signed("<", count, I64(0))):
            context.call_conv.return_user_exc(builder, ValueError, ("negative shift count",))
        gone = builder.icmp_unsigned(">", count, I64(63))
        if function is python_lshift:
            return builder.select(gone, I64(0), builder.shl(value, builder.and_(count, I64(63))))
        return builder.ashr(value, builder.select(gone, I64(63), count))


for _function in (python_lshift, python_rshift):
    _define(_function)
