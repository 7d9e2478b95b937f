"""Memory for compiled code: loads, stores, atomics and prefetch over plain addresses, as LLVM instructions.

Addresses and values are int64 throughout: Numba's uint64 and a literal would unify to float64. Importing this file
imports Numba; only code that is about to compile does.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import ConcreteTemplate, builtin_registry, signature

from burstline.native.words import be8 as be8
from burstline.native.words import be16 as be16
from burstline.native.words import be32 as be32
from burstline.native.words import put16 as put16

I8, I16, I32, I64 = ir.IntType(8), ir.IntType(16), ir.IntType(32), ir.IntType(64)
I128 = ir.IntType(128)
i64 = types.int64
Emit = Callable[..., Any]
Compiled = Callable[..., int]  # what a primitive is to a type checker: all values of compiled code are numbers
LOWERED: set[Any] = set()  # Python functions that are instructions in compiled code, not to be compiled themselves


class Primitive:
    """A name that compiled code calls and Python cannot: it stands for a few instructions."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.means = ""  # the same in every process, where that is known

    def __call__(self, *args: Any) -> Any:
        raise TypeError(f"{self.__name__} exists in compiled code only")


def define(function: Any, returns: types.Type, *arguments: types.Type) -> Callable[[Emit], Any]:
    """Teach Numba that `function` over these types is the instructions that `emit(builder, *args)` makes."""

    def register(emit: Emit) -> Any:
        body = {"key": function, "cases": [signature(returns, *arguments)]}
        template = type(f"{function.__name__}_template", (ConcreteTemplate,), body)
        LOWERED.add(function)
        builtin_registry.register_global(function, types.Function(template))

        @lower_builtin(function, *arguments)
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            value = emit(builder, *args)
            return context.get_dummy_value() if value is None else value

        if isinstance(function, Primitive) and _is_own(emit):
            place = f"{emit.__module__}:{emit.__code__.co_firstlineno}{emit.__defaults__ or ()}"
            function.means += f"{function.__name__}{(*map(str, arguments), str(returns))} of {place};"
        return function

    return register


def _is_own(emit: Any) -> bool:
    """The source of burstline says all that this function does."""
    return emit.__module__.startswith("burstline.") and getattr(emit, "__closure__", emit) is None


def primitive(name: str, returns: types.Type, *arguments: types.Type) -> Callable[[Emit], Compiled]:
    return define(Primitive(name), returns, *arguments)


def pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, ir.PointerType())


def load(builder: ir.IRBuilder, address: ir.Value, width: ir.IntType, align: int = 1) -> ir.Value:
    value = builder.load(pointer(builder, address), typ=width)
    value.align = align
    return value


def store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, align: int = 1) -> None:
    builder.store(value, pointer(builder, address)).align = align


def load_big_endian(builder: ir.IRBuilder, address: ir.Value, width: int) -> ir.Value:
    """`width` bytes (1 to 8) as an integer of exactly that many bytes."""
    whole = ir.IntType(8 * width)
    if width == 1:
        return load(builder, address, whole)
    if width == 6:  # LLVM has no good 48-bit load: 32 + 16
        high = builder.zext(load_big_endian(builder, address, 4), ir.IntType(48))
        low = builder.zext(load_big_endian(builder, builder.add(address, I64(4)), 2), ir.IntType(48))
        return builder.or_(builder.shl(high, ir.IntType(48)(16)), low)
    return builder.bswap(load(builder, address, whole))


def store_big_endian(builder: ir.IRBuilder, value: ir.Value, address: ir.Value, width: int) -> None:
    if width == 6:
        store_big_endian(builder, builder.trunc(builder.lshr(value, value.type(16)), I32), address, 4)
        store_big_endian(builder, builder.trunc(value, I16), builder.add(address, I64(4)), 2)
        return
    store(builder, value if width == 1 else builder.bswap(value), address)


def _loader(name: str, width: ir.IntType) -> Compiled:
    return primitive(name, i64, i64)(lambda b, address: _widen(b, load(b, address, width)))


def _widen(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return value if value.type == I64 else builder.zext(value, I64)


def _narrow(builder: ir.IRBuilder, value: ir.Value, width: ir.IntType) -> ir.Value:
    return value if width == I64 else builder.trunc(value, width)


def _storer(name: str, width: ir.IntType) -> Compiled:
    return primitive(name, types.void, i64, i64)(lambda b, address, value: store(b, _narrow(b, value, width), address))


load8, load16, load32, load64 = (_loader(f"load{w.width}", w) for w in (I8, I16, I32, I64))
store8, store16, store32, store64 = (_storer(f"store{w.width}", w) for w in (I8, I16, I32, I64))

for _function, _width in ((be8, 1), (be16, 2), (be32, 4)):
    define(_function, i64, i64, i64)(lambda b, data, at, w=_width: _widen(b, load_big_endian(b, b.add(data, at), w)))


define(put16, types.void, i64, i64, i64)(
    lambda b, data, at, value: store_big_endian(b, b.trunc(value, I16), b.add(data, at), 2)
)


@primitive("swap16", i64, i64)
def swap16(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return b.zext(b.bswap(b.trunc(value, I16)), I64)


@primitive("swap32", i64, i64)
def swap32(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    return b.zext(b.bswap(b.trunc(value, I32)), I64)


@primitive("shift_right", i64, i64, i64)
def shift_right(b: ir.IRBuilder, value: ir.Value, n: ir.Value) -> ir.Value:
    """Zeros come in from the left, unlike Python's `>>` on a negative number."""
    return b.lshr(value, n)


@primitive("select", i64, types.boolean, i64, i64)
def select(b: ir.IRBuilder, condition: ir.Value, yes: ir.Value, no: ir.Value) -> ir.Value:
    """`yes if condition else no`, both worked out, without a branch that the CPU would have to guess."""
    chosen = b.select(condition, yes, no)
    chosen.set_metadata("unpredictable", b.module.add_metadata([]))
    return chosen


@primitive("ones", i64, i64)
def ones(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """How many bits are set."""
    return _intrinsic(b, "llvm.ctpop.i64", [value], I64)


@primitive("unsigned_divide", i64, i64, i64)
def unsigned_divide(b: ir.IRBuilder, value: ir.Value, by: ir.Value) -> ir.Value:
    return b.udiv(value, by)


@primitive("scale", i64, i64, i64, i64)
def scale(b: ir.IRBuilder, value: ir.Value, factor: ir.Value, bits: ir.Value) -> ir.Value:
    """`value * factor >> bits`, unsigned, with 128 bits in between."""
    product = b.mul(b.zext(value, I128), b.zext(factor, I128))
    return b.trunc(b.lshr(product, b.zext(bits, I128)), I64)


@primitive("mix", i64, i64, i64)
def mix(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """Both halves of the 128-bit product, folded: the mixer of Wang Yi's wyhash."""
    product = b.mul(b.zext(x, I128), b.zext(y, I128))
    return b.xor(b.trunc(product, I64), b.trunc(b.lshr(product, I128(64)), I64))


@primitive("wrapping_add", i64, i64, i64)
def wrapping_add(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    """The low 64 bits of the sum. What `+` gives where it needs more, Numba leaves undefined."""
    return b.add(x, y)


@primitive("wrapping_subtract", i64, i64, i64)
def wrapping_subtract(b: ir.IRBuilder, x: ir.Value, y: ir.Value) -> ir.Value:
    return b.sub(x, y)


@primitive("leading_zeros", i64, i64)
def leading_zeros(b: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """How many of the 64 bits lie above the highest one that is set; 64 of 0."""
    return b.ctlz(value, ir.IntType(1)(0))


@primitive("add_product", types.void, i64, i64, i64)
def add_product(b: ir.IRBuilder, address: ir.Value, x: ir.Value, y: ir.Value) -> None:
    """Add `x * y`, numbers with signs, to the 128-bit number at an address."""
    product = b.mul(b.sext(x, I128), b.sext(y, I128))
    store(b, b.add(load(b, address, I128, 8), product), address, 8)


@primitive("copy", types.void, i64, i64, i64)
def copy(b: ir.IRBuilder, to: ir.Value, source: ir.Value, n: ir.Value) -> None:
    """memcpy: the ranges do not overlap."""
    _intrinsic(b, "llvm.memcpy.p0.p0.i64", [pointer(b, to), pointer(b, source), n, ir.IntType(1)(0)])


@primitive("move", types.void, i64, i64, i64)
def move(b: ir.IRBuilder, to: ir.Value, source: ir.Value, n: ir.Value) -> None:
    """memmove: the ranges may overlap."""
    _intrinsic(b, "llvm.memmove.p0.p0.i64", [pointer(b, to), pointer(b, source), n, ir.IntType(1)(0)])


@primitive("clear", types.void, i64, i64)
def clear(b: ir.IRBuilder, to: ir.Value, n: ir.Value) -> None:
    _intrinsic(b, "llvm.memset.p0.i64", [pointer(b, to), I8(0), n, ir.IntType(1)(0)])


@primitive("prefetch", types.void, i64)
def prefetch(b: ir.IRBuilder, address: ir.Value) -> None:
    """Into all cache levels, to be read."""
    _intrinsic(b, "llvm.prefetch.p0", [pointer(b, address), I32(0), I32(3), I32(1)])


@primitive("prefetch_to_write", types.void, i64)
def prefetch_to_write(b: ir.IRBuilder, address: ir.Value) -> None:
    """Into all cache levels, as this core's own. Not for memory that is mapped read-only: it waits for the page."""
    _intrinsic(b, "llvm.prefetch.p0", [pointer(b, address), I32(1), I32(3), I32(1)])


@primitive("cycles", i64)
def cycles(b: ir.IRBuilder) -> ir.Value:
    """The time-stamp counter."""
    return _intrinsic(b, "llvm.readcyclecounter", [], I64)


@primitive("load_acquire", i64, i64)
def load_acquire(b: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return b.load_atomic(pointer(b, address), "acquire", 8, typ=I64)


@primitive("store_release", types.void, i64, i64)
def store_release(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> None:
    b.store_atomic(value, b.inttoptr(address, I64.as_pointer()), "release", 8)


@primitive("fetch_add", i64, i64, i64)
def fetch_add(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> ir.Value:
    return b.atomic_rmw("add", b.inttoptr(address, I64.as_pointer()), value, "acq_rel")


@primitive("fetch_add16", i64, i64, i64)
def fetch_add16(b: ir.IRBuilder, address: ir.Value, value: ir.Value) -> ir.Value:
    """As `fetch_add`, of 16 bits without a sign."""
    place = b.inttoptr(address, I16.as_pointer())
    return b.zext(b.atomic_rmw("add", place, b.trunc(value, I16), "acq_rel"), I64)


@primitive("compare_swap", i64, i64, i64, i64)
def compare_swap(b: ir.IRBuilder, address: ir.Value, expected: ir.Value, value: ir.Value) -> ir.Value:
    """Store a value where the expected one is; 1 if it was, else 0 and nothing is stored."""
    found = b.cmpxchg(b.inttoptr(address, I64.as_pointer()), expected, value, "acq_rel", "acquire")
    return b.zext(b.extract_value(found, 1), I64)


@primitive("stream_line", types.void, i64, i64)
def stream_line(b: ir.IRBuilder, to: ir.Value, source: ir.Value) -> None:
    """Copy 64 bytes to a whole cache line past the caches, which nobody of this core's will read. Needs `store_fence`
    before what tells others of it: such stores are not in order with any others (x86: SDM, volume 1, 10.4.6.2)."""
    line = ir.VectorType(I64, 8)
    value = b.load(pointer(b, source), typ=line)
    value.align = 8
    stored = b.store(value, pointer(b, to))
    stored.align = 64
    stored.set_metadata("nontemporal", b.module.add_metadata([I32(1)]))


@primitive("store_fence", types.void)
def store_fence(b: ir.IRBuilder) -> None:
    """All stores before it, streaming ones too, are seen before those after it."""
    if platform.machine() in ("x86_64", "AMD64"):
        _intrinsic(b, "llvm.x86.sse.sfence", [])
    else:
        b.fence("seq_cst")


def _intrinsic(builder: ir.IRBuilder, name: str, args: list[ir.Value], returns: ir.Type | None = None) -> ir.Value:
    kind = ir.FunctionType(returns or ir.VoidType(), [a.type for a in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args)


def caller(parameters: int) -> Compiled:
    """`(address, ...)` calls the C function at an address, with so many int64; it returns an int64."""

    def emit(b: ir.IRBuilder, function: ir.Value, *args: ir.Value) -> ir.Value:
        return b.call(b.inttoptr(function, ir.FunctionType(I64, [I64] * parameters).as_pointer()), args)

    return primitive(f"call of {parameters}", i64, i64, *[i64] * parameters)(emit)


call_address, call_with_two, call_with_three, call_with_four = (caller(n) for n in range(1, 5))


def address_of(name: str) -> Compiled:
    """A function for compiled code that gives the address of a symbol that is linked to it."""

    def emit(b: ir.IRBuilder) -> ir.Value:
        symbol = b.module.globals.get(name)
        if symbol is None:
            symbol = ir.GlobalVariable(b.module, I64, name)
            symbol.linkage = "external"
        return b.ptrtoint(symbol, I64)

    return primitive(f"address of {name}", i64)(emit)


def external(name: str, parameters: int) -> Compiled:
    """A C function of int64 or pointer parameters that returns int64: libc's, DPDK's, or one of `chain.py`."""

    def emit(b: ir.IRBuilder, *args: ir.Value) -> ir.Value:
        function = b.module.globals.get(name) or ir.Function(b.module, ir.FunctionType(I64, [I64] * parameters), name)
        return b.call(function, args)

    return primitive(name, i64, *[i64] * parameters)(emit)
