"""Instructions behind vectors for which LLVM has no one spelling: tables, gathers, loads of what is partly there."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from burstline.native.memory import I8, I32, I64, pointer
from burstline.simd import level
from burstline.simd.vector_type import VectorType, constant_like, converted, mask_of, packed, spread, unpacked

I1 = ir.IntType(1)
# Byte tables of sixteen in each 128 bits: by lanes, the instruction and what it needs.
_BYTE_TABLES = {
    16: ("llvm.x86.ssse3.pshuf.b.128", "ssse3"),
    32: ("llvm.x86.avx2.pshuf.b", "avx2"),
    64: ("llvm.x86.avx512.pshuf.b.512", "avx512bw"),
}
# Tables as long as the vector of indices, which count modulo its lanes: by bits and lanes.
_PERMUTATIONS = {
    (8, 64): ("llvm.x86.avx512.permvar.qi.512", "avx512vbmi"),
    (16, 32): ("llvm.x86.avx512.permvar.hi.512", "avx512bw"),
    (32, 8): ("llvm.x86.avx2.permd", "avx2"),
    (32, 16): ("llvm.x86.avx512.permvar.si.512", "avx512f"),
    (64, 8): ("llvm.x86.avx512.permvar.di.512", "avx512f"),
}


def intrinsic(builder: Any, name: str, returns: ir.Type, args: list[Any]) -> Any:
    """A call of one of LLVM's own functions."""
    kind = ir.FunctionType(returns, [a.type for a in args])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, args)


def looked_up(builder: Any, table: VectorType, indices: VectorType, entries: Any, places: Any) -> Any:
    """Lane k is `entries[places[k] % lanes of the table]`."""
    returns = VectorType(table.bits, indices.lanes)
    if not table.apart and indices.bits == table.bits:
        direct = _PERMUTATIONS.get((table.bits, table.lanes))
        if direct and table.lanes == indices.lanes and direct[1] in level.features():
            return intrinsic(builder, direct[0], returns.llvm, [entries, places])
        if table.bits == 8 and table.lanes == 16 and indices.lanes % 16 == 0 and (step := _byte_table(indices.lanes)):
            return _by_byte_tables(builder, entries, places, indices.lanes, step)
    room = cgutils.alloca_once(builder, ir.ArrayType(table.element, table.lanes))
    for k, entry in enumerate(unpacked(builder, entries)):
        builder.store(entry, builder.gep(room, [I32(0), I32(k)]))
    found = []
    for place in unpacked(builder, places):
        index = builder.urem(place, place.type(table.lanes)) if table.lanes < 1 << indices.bits else place
        index = builder.zext(index, I64) if indices.bits < 64 else index
        found.append(builder.load(builder.gep(room, [I32(0), index])))
    return packed(builder, returns, found)


def _byte_table(lanes: int) -> int:
    """How many bytes go through one instruction here; 0 where there is none."""
    if "neon" in level.features():
        return 16
    fits = [size for size, (_, feature) in _BYTE_TABLES.items() if size <= lanes and feature in level.features()]
    return max((size for size in fits if lanes % size == 0), default=0)


def _by_byte_tables(builder: Any, entries: Any, places: Any, lanes: int, step: int) -> Any:
    """One table for all indices: repeated beside each sixteen of them."""
    again = ir.Constant(ir.VectorType(I32, lanes), [k % 16 for k in range(lanes)])
    tables = builder.shuffle_vector(entries, ir.Constant(entries.type, ir.Undefined), again)
    return _beside(builder, tables, places, lanes, step)


def looked_up_beside(builder: Any, kind: VectorType, tables: Any, places: Any) -> Any:
    """Lane k is that of its own sixteen whose number is `places[k] % 16`."""
    if not kind.apart and (step := _byte_table(kind.lanes)):
        return _beside(builder, tables, places, kind.lanes, step)
    room = cgutils.alloca_once(builder, ir.ArrayType(kind.element, kind.lanes))
    for k, entry in enumerate(unpacked(builder, tables)):
        builder.store(entry, builder.gep(room, [I32(0), I32(k)]))
    found = []
    for k, place in enumerate(unpacked(builder, places)):
        index = builder.add(builder.zext(builder.and_(place, place.type(15)), I64), I64(k // 16 * 16))
        found.append(builder.load(builder.gep(room, [I32(0), index])))
    return packed(builder, kind, found)


def _beside(builder: Any, tables: Any, places: Any, lanes: int, step: int) -> Any:
    piece = ir.VectorType(I8, step)
    low = builder.and_(places, constant_like(places, 15))  # a byte with its upper bit set would give 0
    if step == lanes:
        return _shuffle_bytes(builder, piece, tables, low, step)
    parts = []
    for first in range(0, lanes, step):
        chosen = ir.Constant(ir.VectorType(I32, step), list(range(first, first + step)))
        table, index = (builder.shuffle_vector(v, ir.Constant(v.type, ir.Undefined), chosen) for v in (tables, low))
        parts.append(_shuffle_bytes(builder, piece, table, index, step))
    while len(parts) > 1:
        size = 2 * parts[0].type.count
        both = ir.Constant(ir.VectorType(I32, size), list(range(size)))
        if len(parts) % 2:  # three pieces of 48 lanes: the last one is joined with itself, and cut below
            parts.append(parts[-1])
        parts = [builder.shuffle_vector(a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    if parts[0].type.count == lanes:
        return parts[0]
    chosen = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
    return builder.shuffle_vector(parts[0], ir.Constant(parts[0].type, ir.Undefined), chosen)


def _shuffle_bytes(builder: Any, piece: ir.Type, table: Any, index: Any, step: int) -> Any:
    name = "llvm.aarch64.neon.tbl1.v16i8" if "neon" in level.features() else _BYTE_TABLES[step][0]
    return intrinsic(builder, name, piece, [table, index])


def vector_at(builder: Any, kind: VectorType, address: Any) -> Any:
    """A load that need not be aligned."""
    if kind.apart:
        step = kind.bits // 8
        lanes = []
        for k in range(kind.lanes):
            lane = builder.load(pointer(builder, builder.add(address, I64(k * step))), typ=kind.element)
            lane.align = 1
            lanes.append(lane)
        return packed(builder, kind, lanes)
    value = builder.load(pointer(builder, address), typ=kind.llvm)
    value.align = 1
    return value


def store_at(builder: Any, kind: VectorType, value: Any, address: Any) -> None:
    """A store that need not be aligned."""
    if kind.apart:
        step = kind.bits // 8
        for k, lane in enumerate(unpacked(builder, value)):
            builder.store(lane, pointer(builder, builder.add(address, I64(k * step)))).align = 1
        return
    builder.store(value, pointer(builder, address)).align = 1


def _masked(kind: VectorType) -> bool:
    """Whether the target has masked loads and stores of such lanes; LLVM makes a branch a lane of them elsewhere."""
    return not kind.apart and ("avx512bw" if kind.bits < 32 else "avx512f") in level.features()


def masked_load(builder: Any, kind: VectorType, address: Any, mask: Any) -> Any:
    """Lanes where the mask is true, zeros elsewhere; nothing else is read."""
    if kind.apart:
        step = kind.bits // 8
        wide = VectorType(64, kind.lanes)
        addresses = [builder.add(address, I64(k * step)) for k in range(kind.lanes)]
        return gathered(builder, kind, packed(builder, wide, addresses), mask)
    name = f"llvm.masked.load.{kind.overloaded}.p0"
    zeros = ir.Constant(kind.llvm, None)
    return intrinsic(builder, name, kind.llvm, [pointer(builder, address), I32(1), mask, zeros])


def masked_store(builder: Any, kind: VectorType, value: Any, address: Any, mask: Any) -> None:
    """Lanes where the mask is true; nothing else is written."""
    if kind.apart:
        step = kind.bits // 8
        pairs = zip(unpacked(builder, value), unpacked(builder, mask), strict=True)
        for k, (lane, chosen) in enumerate(pairs):
            with builder.if_then(chosen):
                builder.store(lane, pointer(builder, builder.add(address, I64(k * step)))).align = 1
        return
    name = f"llvm.masked.store.{kind.overloaded}.p0"
    intrinsic(builder, name, ir.VoidType(), [value, pointer(builder, address), I32(1), mask])


def address_lanes(builder: Any, base: Any, wide: VectorType, offsets: Any) -> Any:
    """`base` and 64-bit offsets from it, as a vector of addresses."""
    bases = spread(builder, wide, base)
    if not wide.apart:
        return builder.add(bases, offsets)
    pairs = zip(unpacked(builder, bases), unpacked(builder, offsets), strict=True)
    return packed(builder, wide, [builder.add(a, b) for a, b in pairs])


def gathered(builder: Any, kind: VectorType, addresses: Any, mask: Any) -> Any:
    """A lane from each address where the mask is true, zeros elsewhere. Gather instructions exist for 32 and 64 bits;
    without one, what is not to be read is loaded from zeros."""
    if not kind.apart and kind.bits >= 32 and "avx2" in level.features():
        pointers = ir.VectorType(ir.PointerType(), kind.lanes)
        name = f"llvm.masked.gather.{kind.overloaded}.v{kind.lanes}p0"
        where = builder.inttoptr(addresses, pointers)
        return intrinsic(builder, name, kind.llvm, [where, I32(1), mask, ir.Constant(kind.llvm, None)])
    nothing = builder.ptrtoint(_zeros(builder), I64)
    lanes = []
    for address, chosen in zip(unpacked(builder, addresses), unpacked(builder, mask), strict=True):
        lane = builder.load(pointer(builder, builder.select(chosen, address, nothing)), typ=kind.element)
        lane.align = 1
        lanes.append(lane)
    return packed(builder, kind, lanes)


def _zeros(builder: Any) -> Any:
    room = cgutils.alloca_once(builder, I64)
    builder.store(I64(0), room)
    return room


def load_part(builder: Any, kind: VectorType, address: Any, size: Any) -> Any:
    """A vector of which `size` bytes are there; the others read as 0. Mostly all of them are there."""
    whole = kind.bits * kind.lanes // 8
    room = cgutils.alloca_once(builder, kind.llvm)
    with builder.if_else(builder.icmp_signed("==", size, I64(whole)), likely=True) as (all_there, some):
        with all_there:
            builder.store(vector_at(builder, kind, address), room)
        with some:
            octets = VectorType(8, whole)
            if _masked(octets):
                value = masked_load(builder, octets, address, _first(builder, octets, size))
                builder.store(builder.bitcast(value, kind.llvm), room)
            else:
                builder.store(ir.Constant(kind.llvm, None), room)
                _copy(builder, builder.ptrtoint(room, I64), address, size)
    return builder.load(room)


def store_part(builder: Any, kind: VectorType, value: Any, address: Any, size: Any) -> None:
    """The first `size` bytes of a vector."""
    whole = kind.bits * kind.lanes // 8
    room = cgutils.alloca_once(builder, kind.llvm)
    with builder.if_else(builder.icmp_signed("==", size, I64(whole)), likely=True) as (all_there, some):
        with all_there:
            store_at(builder, kind, value, address)
        with some:
            octets = VectorType(8, whole)
            if _masked(octets):
                masked_store(
                    builder, octets, builder.bitcast(value, octets.llvm), address, _first(builder, octets, size)
                )
            else:
                builder.store(value, room)
                _copy(builder, address, builder.ptrtoint(room, I64), size)


def _first(builder: Any, kind: VectorType, size: Any) -> Any:
    """A mask of the first `size` lanes."""
    numbers = VectorType(16, kind.lanes)
    counted = ir.Constant(numbers.llvm, list(range(kind.lanes)))
    return builder.icmp_unsigned("<", counted, spread(builder, numbers, size))


def _copy(builder: Any, to: Any, source: Any, size: Any) -> None:
    intrinsic(
        builder, "llvm.memcpy.p0.p0.i64", ir.VoidType(),
        [pointer(builder, to), pointer(builder, source), size, I1(0)],
    )  # fmt: skip


def from_addresses(builder: Any, kind: VectorType, base: Any, offsets: VectorType, value: Any, mask: Any) -> Any:
    """Lanes from `base` and an offset each, where the mask is true."""
    wide = VectorType(64, kind.lanes)
    if mask is None:
        mask = _every(builder, mask_of(kind))
    return gathered(builder, kind, address_lanes(builder, base, wide, converted(builder, offsets, wide, value)), mask)


def _every(builder: Any, kind: VectorType) -> Any:
    return packed(builder, kind, [I1(1)] * kind.lanes) if kind.apart else ir.Constant(kind.llvm, [1] * kind.lanes)
