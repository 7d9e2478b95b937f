"""Vectors at plain addresses: for the engine's own kernels. Nothing is checked; stages load from views of bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, builtin_registry, signature

from burstline.native.memory import I64, LOWERED, Primitive, primitive
from burstline.simd import level
from burstline.simd import vector_moves as vector_moves  # with it come all methods: kernels use them
from burstline.simd.lanes import from_addresses, masked_load, masked_store, store_at, vector_at
from burstline.simd.vector_type import KindType, VectorType, mask_of

i64 = types.int64


def over_vectors(name: str, typing: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """A primitive whose types depend on those of its arguments: `typing` gives a signature, or None."""
    function = Primitive(name)

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = function

        def generic(self, args: Any, kws: Any) -> Any:
            try:
                return typing(*args)
            except TypeError:  # another number of arguments
                return None

    LOWERED.add(function)
    builtin_registry.register_global(function, types.Function(Template))

    def register(emit: Callable[..., Any]) -> Any:
        @lower_builtin(function, types.VarArg(types.Any))  # type: ignore[attr-defined]
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value = emit(builder, sig, *args)
            return context.get_dummy_value() if value is None else value

        return function

    return register


def _is_vector(kind: Any) -> bool:
    return isinstance(kind, KindType) and kind.vector.bits > 1


@over_vectors("load_vector", lambda kind, address: signature(kind.vector, kind, i64) if _is_vector(kind) else None)
def load_vector(b: Any, sig: Any, kind: Any, address: Any) -> Any:
    """`(kind, address)`: a vector from memory, aligned or not."""
    return vector_at(b, sig.return_type, address)


@over_vectors("store_vector", lambda address, v: signature(types.none, i64, v) if isinstance(v, VectorType) else None)
def store_vector(b: Any, sig: Any, address: Any, value: Any) -> None:
    """`(address, vector)`."""
    store_at(b, sig.args[1], value, address)


@over_vectors(
    "load_masked",
    lambda kind, address, mask: (
        signature(kind.vector, kind, i64, mask) if _is_vector(kind) and mask == mask_of(kind.vector) else None
    ),
)
def load_masked(b: Any, sig: Any, kind: Any, address: Any, mask: Any) -> Any:
    """`(kind, address, mask)`: zeros where the mask is false, and nothing is read there."""
    return masked_load(b, sig.return_type, address, mask)


@over_vectors(
    "store_masked",
    lambda address, v, mask: (
        signature(types.none, i64, v, mask) if isinstance(v, VectorType) and mask == mask_of(v) else None
    ),
)
def store_masked(b: Any, sig: Any, address: Any, value: Any, mask: Any) -> None:
    """`(address, vector, mask)`: nothing is written where the mask is false."""
    masked_store(b, sig.args[1], value, address, mask)


def _gather(kind: Any, base: Any, offsets: Any, *masks: Any) -> Any:
    fits = _is_vector(kind) and isinstance(offsets, VectorType) and offsets.lanes == kind.vector.lanes
    fits = fits and len(masks) < 2 and all(m == mask_of(kind.vector) for m in masks)
    return signature(kind.vector, kind, i64, offsets, *masks) if fits else None


@over_vectors("gather_vector", _gather)
def gather_vector(b: Any, sig: Any, kind: Any, base: Any, offsets: Any, mask: Any = None) -> Any:
    """`(kind, base, offsets)` or with a mask: lane k from the address `base + offsets[k]`, zero where it is false."""
    return from_addresses(b, sig.return_type, base, sig.args[2], offsets, mask)


@primitive("masks_bytes", types.boolean)
def masks_bytes(b: Any) -> Any:
    """Whether a masked load of bytes is one instruction: where it is not, it is a branch for each byte."""
    return ir.IntType(1)("avx512bw" in level.features())


@primitive("scratch", i64)
def scratch(b: Any) -> Any:
    """1 KiB of the stack, aligned to a cache line; each call of a function has its own."""
    room = cgutils.alloca_once(b, ir.ArrayType(I64, 128))
    room.align = 64
    return b.ptrtoint(room, I64)


@primitive("trailing_zeros", i64, i64)
def trailing_zeros(b: Any, value: Any) -> Any:
    """The number of the lowest bit that is set; 64 of 0."""
    return b.cttz(value, ir.IntType(1)(0))
