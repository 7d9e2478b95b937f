"""Instructions of the program, as LLVM's: what is said often, in few words. All numbers are 64 bits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir
from llvmlite.ir.instructions import LoadInstr, StoreInstr

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
POINTER = ir.PointerType()
WIDTHS = {1: I8, 2: I16, 4: I32, 8: I64}

# Numbers of helpers, from the kernel's include/uapi/linux/bpf.h.
MAP_LOOKUP, REDIRECT_MAP, ADJUST_META, BUFFER_LENGTH, LOAD_BYTES = 1, 51, 54, 188, 189


def number(value: int) -> ir.Constant:
    return ir.Constant(I64, value)


class _VolatileLoad(LoadInstr):  # type: ignore[misc]
    def descr(self, buf: list[str]) -> None:
        super().descr(buf)
        buf[-1] = buf[-1].replace("load", "load volatile", 1)


class _VolatileStore(StoreInstr):  # type: ignore[misc]
    def descr(self, buf: list[str]) -> None:
        super().descr(buf)
        buf[-1] = buf[-1].replace("store", "store volatile", 1)


class Code:
    """The body of one function, whose argument is the context of a packet: `struct xdp_md`."""

    def __init__(self, name: str) -> None:
        self.module = ir.Module(name)
        self.module.triple = "bpf"
        self.function = ir.Function(self.module, ir.FunctionType(I32, [POINTER]), name)
        self.function.attributes.add("nounwind")
        self.context = self.function.args[0]
        self.b = ir.IRBuilder(self.function.append_basic_block("entry"))

    def symbol(self, name: str) -> ir.GlobalVariable:
        """A map, or what lies in one: its place is known when it is loaded."""
        found = self.module.globals.get(name)
        if found is None:
            found = ir.GlobalVariable(self.module, ir.ArrayType(I8, 1 << 20), name)
            found.linkage = "external"
        return found

    def call(self, helper: int, *args: ir.Value) -> ir.Value:
        """A helper of the kernel's, by its number; returns 64 bits."""
        kind = ir.FunctionType(I64, [a.type for a in args])
        return self.b.call(self.b.inttoptr(number(helper), kind.as_pointer()), args)

    def find(self, symbol: str, key: ir.Value) -> ir.Value:
        """The value of a map at a key in memory, or null."""
        kind = ir.FunctionType(POINTER, [POINTER, POINTER])
        return self.b.call(self.b.inttoptr(number(MAP_LOOKUP), kind.as_pointer()), [self.symbol(symbol), key])

    def beside(self, base: ir.Value, offset: int | ir.Value) -> ir.Value:
        """The address so many bytes behind another."""
        by = number(offset) if isinstance(offset, int) else offset
        return self.b.gep(base, [by], source_etype=I8)

    def load(self, address: ir.Value, size: int, *, fresh: bool = False) -> ir.Value:
        """`size` bytes; `fresh`: LLVM must not know them from before."""
        loaded = (_VolatileLoad if fresh else LoadInstr)(self.b.block, address, typ=WIDTHS[size])
        loaded.align = size
        self.b._insert(loaded)
        return loaded if size == 8 else self.b.zext(loaded, I64)

    def store(self, value: ir.Value | int, address: ir.Value, size: int, *, fresh: bool = False) -> None:
        whole = number(value) if isinstance(value, int) else value
        narrow = whole if size == 8 else self.b.trunc(whole, WIDTHS[size])
        stored = (_VolatileStore if fresh else StoreInstr)(self.b.block, narrow, address)
        stored.align = size
        self.b._insert(stored)

    def big_endian(self, address: ir.Value, size: int) -> ir.Value:
        loaded = self.b.load(address, typ=WIDTHS[size])
        loaded.align = size
        swapped = loaded if size == 1 else self.b.bswap(loaded)
        return self.b.zext(swapped, I64)

    def block(self, name: str) -> ir.Block:
        return self.function.append_basic_block(name)

    def is_set(self, value: ir.Value, bits: int) -> ir.Value:
        return self.b.icmp_unsigned("!=", self.b.and_(value, number(bits)), number(0))

    @contextmanager
    def when(self, condition: ir.Value) -> Iterator[None]:
        with self.b.if_then(condition):
            yield
