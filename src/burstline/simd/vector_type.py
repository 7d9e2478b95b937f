"""Vectors in compiled code: sixteen lanes, one per packet, which LLVM puts into the widest registers that the CPU has.

`Lanes` are unsigned 32-bit numbers, `Mask` truths. Arithmetic, comparison and logic are Python's operators, lane by
lane; a plain number stands for itself in every lane.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, builtin_registry, infer_global, signature
from numba.extending import models, register_model

from burstline.native.memory import I16, I32, I64, LOWERED, Primitive, pointer, primitive

LANES = 16
WORDS = ir.VectorType(I32, LANES)
TRUTHS = ir.VectorType(ir.IntType(1), LANES)
i64 = types.int64


class VectorType(types.Type):
    def __init__(self, name: str, llvm: ir.Type) -> None:
        self.llvm = llvm
        super().__init__(name)


LANES32, MASK = VectorType("Lanes", WORDS), VectorType("Mask", TRUTHS)


@register_model(VectorType)
class _Model(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: VectorType) -> None:
        super().__init__(manager, kind, kind.llvm)


def _spread(builder: Any, value: Any) -> Any:
    """A number in every lane."""
    if isinstance(value.type, ir.VectorType):
        return value
    one = builder.insert_element(ir.Constant(WORDS, ir.Undefined), builder.trunc(value, I32), I32(0))
    return builder.shuffle_vector(one, ir.Constant(WORDS, ir.Undefined), ir.Constant(WORDS, [0] * LANES))


def _operation(function: Callable[..., Any], operands: VectorType, returns: VectorType, emit: Any) -> None:
    @infer_global(function)
    class Template(AbstractTemplate):  # type: ignore[misc]
        def generic(self, args: Any, kws: Any) -> Any:
            fits = len(args) == 2 and operands in args
            if fits and all(a == operands or (operands is LANES32 and isinstance(a, types.Integer)) for a in args):
                return signature(returns, *(operands if a == operands else i64 for a in args))
            return None

    numbers = [(operands, operands), (operands, i64), (i64, operands)] if operands is LANES32 else [(MASK, MASK)]
    for pair in numbers:

        @lower_builtin(function, *pair)
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return emit(builder, *(_spread(builder, a) for a in args))


for _function, _name in (
    (operator.add, "add"), (operator.sub, "sub"), (operator.and_, "and_"), (operator.or_, "or_"),
    (operator.xor, "xor"), (operator.lshift, "shl"), (operator.rshift, "lshr"),
):  # fmt: skip
    _operation(_function, LANES32, LANES32, lambda b, x, y, n=_name: getattr(b, n)(x, y))
for _function, _sign in (
    (operator.eq, "=="), (operator.ne, "!="), (operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"),
    (operator.ge, ">="),
):  # fmt: skip
    _operation(_function, LANES32, MASK, lambda b, x, y, s=_sign: b.icmp_unsigned(s, x, y))
for _function, _name in ((operator.and_, "and_"), (operator.or_, "or_")):
    _operation(_function, MASK, MASK, lambda b, x, y, n=_name: getattr(b, n)(x, y))


def _memory(builder: Any, address: Any, kind: ir.Type) -> Any:
    value = builder.load(pointer(builder, address), typ=kind)
    value.align = 4
    return value


@primitive("load_lanes", LANES32, i64)
def load_lanes(b: Any, address: Any) -> Any:
    """Sixteen 32-bit words that lie behind each other."""
    return _memory(b, address, WORDS)


@primitive("store_lanes", types.void, i64, LANES32)
def store_lanes(b: Any, address: Any, lanes: Any) -> None:
    b.store(lanes, pointer(b, address)).align = 4


@primitive("store_lanes16", types.void, i64, LANES32)
def store_lanes16(b: Any, address: Any, lanes: Any) -> None:
    """The low 16 bits of each."""
    b.store(b.trunc(lanes, ir.VectorType(I16, LANES)), pointer(b, address)).align = 2


def _strided(number: int, stride: int) -> Any:
    """Word `number` of each of sixteen groups of `stride` words."""

    @primitive(f"load_{number}_of_{stride}", LANES32, i64)
    def load(b: Any, address: Any) -> Any:
        whole = _memory(b, address, ir.VectorType(I32, stride * LANES))
        places = ir.Constant(WORDS, [stride * k + number for k in range(LANES)])
        return b.shuffle_vector(whole, ir.Constant(whole.type, ir.Undefined), places)

    return load


load_first_of_4, load_second_of_4, load_third_of_4 = (_strided(k, 4) for k in range(3))
load_first_of_2, load_second_of_2 = (_strided(k, 2) for k in range(2))


@primitive("store_pairs", types.void, i64, LANES32, LANES32)
def store_pairs(b: Any, address: Any, low: Any, high: Any) -> None:
    """Sixteen 64-bit words, whose halves are the lanes of two vectors."""
    places = ir.Constant(ir.VectorType(I32, 2 * LANES), [k // 2 + k % 2 * LANES for k in range(2 * LANES)])
    b.store(b.shuffle_vector(low, high, places), pointer(b, address)).align = 8


choose = Primitive("choose")  # (mask, a, b): lanes of `a` where the mask is true, of `b` elsewhere
LOWERED.add(choose)


class _Choose(AbstractTemplate):  # type: ignore[misc]
    key = choose

    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 3 and args[0] == MASK:
            return signature(LANES32, MASK, *(LANES32 if a == LANES32 else i64 for a in args[1:]))
        return None


builtin_registry.register_global(choose, types.Function(_Choose))


@lower_builtin(choose, MASK, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _choose(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.select(args[0], _spread(builder, args[1]), _spread(builder, args[2]))


@primitive("bits_of", i64, MASK)
def bits_of(b: Any, mask: Any) -> Any:
    """A bit for each lane, the first one lowest."""
    return b.zext(b.bitcast(mask, ir.IntType(LANES)), I64)


@primitive("trailing_zeros", i64, i64)
def trailing_zeros(b: Any, value: Any) -> Any:
    """The number of the lowest bit that is set."""
    return b.cttz(value, ir.IntType(1)(1))


@primitive("scratch", i64)
def scratch(b: Any) -> Any:
    """1 KiB of the stack, aligned to a cache line."""
    room = cgutils.alloca_once(b, ir.ArrayType(I64, 128))
    room.align = 64
    return b.ptrtoint(room, I64)


@primitive("copy16", types.void, i64, i64)
def copy16(b: Any, to: Any, source: Any) -> None:
    """Sixteen bytes."""
    b.store(_memory(b, source, ir.VectorType(I64, 2)), pointer(b, to)).align = 1


@primitive("copy_8_or_32", types.void, i64, i64, types.boolean)
def copy_8_or_32(b: Any, to: Any, source: Any, all_of_it: Any) -> None:
    """Eight bytes and 24 zeros, or 32 bytes; no byte behind the eight is read where they are not wanted."""
    quad = ir.VectorType(I64, 4)
    lanes = ir.VectorType(ir.IntType(1), 4)
    every = b.insert_element(ir.Constant(lanes, ir.Undefined), all_of_it, I32(0))
    every = b.shuffle_vector(every, ir.Constant(lanes, ir.Undefined), ir.Constant(ir.VectorType(I32, 4), [0] * 4))
    mask = b.or_(every, ir.Constant(lanes, [1, 0, 0, 0]))
    name = "llvm.masked.load.v4i64.p0"
    kind = ir.FunctionType(quad, [ir.PointerType(), I32, lanes, quad])
    load = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    value = b.call(load, [pointer(b, source), I32(1), mask, ir.Constant(quad, [0] * 4)])
    b.store(value, pointer(b, to)).align = 8
