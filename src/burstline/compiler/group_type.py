"""A group of sixteen packets in compiled code. Fields are read a row of a header at a time: sixteen bytes of each
packet by a plain load, then turned into lanes, so that the fields of a header share what was read."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import lower_builtin, lower_cast, lower_getattr_generic
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, builtin_registry, infer_getattr, signature
from numba.extending import models, register_model

from burstline.compiler.columns import zeros
from burstline.compiler.verdict_type import VERDICT, VerdictType
from burstline.native.lowered_cache import lasting
from burstline.native.memory import I16, I32, I64, LOWERED, load_big_endian, pointer
from burstline.packet.burst import COLUMN, INNER, Burst
from burstline.packet.fields import FRAGMENT, HEADER, PRESENT, Field, Header
from burstline.packet.found_kernel import HERE
from burstline.packet.group_fields import HEADERS_OF_GROUPS, LANES, NUMBERS, lane_bits
from burstline.packet.place import PLACES
from burstline.pipeline.burst_stage import where
from burstline.pipeline.verdict import NEXT
from burstline.simd.vector_type import VectorType, constant_like, each, packed, spread, unpacked

i64 = types.int64


def _lanes(bits: int) -> VectorType:
    return VectorType(bits, LANES)


@lasting
class GroupType(types.Type):
    """`shared`: the packets are those of the worker's list."""

    def __init__(self, burst: Burst, shared: bool, level: str = "") -> None:
        self.burst, self.shared, self.level = burst, shared, level
        super().__init__(f"{'Inner' if level else ''}Packets({burst.capacity}, {shared}, {_lanes(1).apart})")


class GroupHeaderType(types.Type):
    """A header of each packet of a group."""

    def __init__(self, group: GroupType, header: Header) -> None:
        self.group, self.header = group, header
        super().__init__(f"HeaderOf({header.name}, {group.name})")


for _kind in (GroupType, GroupHeaderType):

    @register_model(_kind)
    class _Model(models.StructModel):  # type: ignore[misc]
        def __init__(self, manager: Any, kind: types.Type) -> None:
            members = [("burst", i64), ("first", i64), ("own", i64), ("active", i64)]
            super().__init__(manager, kind, members)


@lasting
class VerdictsType(types.Type):
    """A verdict for each packet of a group."""

    def __init__(self) -> None:
        super().__init__(f"Verdicts({_lanes(1).apart})")

    def can_convert_from(self, typingctx: Any, other: types.Type) -> Any:
        return Conversion.safe if other in (types.none, VERDICT) else None

    def unify(self, typingctx: Any, other: types.Type) -> Any:
        return self if other in (types.none, VERDICT) or isinstance(other, types.Optional) else None  # type: ignore[attr-defined]


@register_model(VerdictsType)
class _VerdictsModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _lanes(32).llvm)


@lower_cast(types.none, VerdictsType)
def _all_go_on(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    return spread(builder, _lanes(32), I64(NEXT))


@lower_cast(VerdictType, VerdictsType)
def _one_for_all(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    return spread(builder, _lanes(32), value)


@lower_cast(types.Optional, VerdictsType)  # type: ignore[attr-defined]
def _one_or_none(context: Any, builder: Any, source: Any, target: Any, value: Any) -> Any:
    return spread(builder, _lanes(32), context.cast(builder, value, source, VERDICT))


class _Where(AbstractTemplate):  # type: ignore[misc]
    key = where

    def generic(self, args: Any, kws: Any) -> Any:
        ways = [kind if isinstance(kind, VerdictsType) else VERDICT for kind in args[1:]]
        known = all(isinstance(kind, (VerdictsType, VerdictType)) or kind == types.none for kind in args[1:])
        if kws or not 2 <= len(args) <= 3 or args[0] != _lanes(1) or not known:
            return None
        return signature(VerdictsType(), args[0], *ways)


builtin_registry.register_global(where, types.Function(_Where))
LOWERED.add(where)


@lower_builtin(where, VectorType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _where(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    kind = _lanes(32)
    then, otherwise = [*(spread(builder, kind, a) for a in args[1:]), spread(builder, kind, I64(NEXT))][:2]
    return each(builder, kind, builder.select, args[0], then, otherwise)


class _Packets:
    """What is read of a group: columns of the burst, and bytes of headers."""

    def __init__(self, context: Any, builder: Any, kind: GroupType, value: Any) -> None:
        self.builder, self.kind = builder, kind
        whole = cgutils.create_struct_proxy(kind)(context, builder, value)
        self.burst, self.first, self.own, self.active_bits = whole.burst, whole.first, whole.own, whole.active

    def active(self) -> Any:
        b, mask = self.builder, _lanes(1)
        if not mask.apart:
            return b.bitcast(b.trunc(self.active_bits, I16), mask.llvm)
        return packed(b, mask, [b.trunc(b.lshr(self.active_bits, I64(k)), mask.element) for k in range(LANES)])

    def column(self, name: str, bits: int = 32) -> Any:
        """A column's elements, widened to `bits`; of lanes without a packet, anything."""
        b, column = self.builder, COLUMN[name]
        base = b.add(self.burst, I64(self.kind.burst.offsets[name]))
        element = ir.IntType(8 * column.width)
        kind = _lanes(bits)
        if self.kind.shared:
            values = [self._load(b.add(base, b.mul(n, I64(column.width))), element) for n in self._numbers()]
            return packed(b, kind, [v if v.type == kind.element else b.zext(v, kind.element) for v in values])
        address = b.add(base, b.mul(self.first, I64(column.width)))
        if kind.apart:
            values = [self._load(b.add(address, I64(k * column.width)), element) for k in range(LANES)]
            return packed(b, kind, [v if v.type == kind.element else b.zext(v, kind.element) for v in values])
        value = self._load(address, ir.VectorType(element, LANES))
        return value if value.type == kind.llvm else b.zext(value, kind.llvm)

    def _numbers(self) -> list[Any]:
        """The packets' numbers in the burst, from the worker's list; 0 in lanes without a packet."""
        b = self.builder
        entries = b.add(self.own, b.add(I64(8), b.mul(self.first, I64(2))))
        flags = unpacked(b, self.active())
        loaded = (b.zext(self._load(b.add(entries, I64(2 * k)), I16), I64) for k in range(LANES))
        return [b.select(flag, number, I64(0)) for flag, number in zip(flags, loaded, strict=True)]

    def _load(self, address: Any, kind: ir.Type) -> Any:
        value = self.builder.load(pointer(self.builder, address), typ=kind)
        value.align = 1
        return value

    def has(self, bits: int) -> Any:
        """The lanes whose packets have one of the headers in a bit set."""
        b, present = self.builder, self.column(self.kind.level + "present")
        here = each(
            b, _lanes(1),
            lambda p: b.icmp_unsigned("!=", b.and_(p, constant_like(p, bits)), constant_like(p, 0)), present,
        )  # fmt: skip
        return each(b, _lanes(1), b.and_, here, self.active())

    def header(self, header: Header) -> tuple[Any, list[Any]]:
        """Which packets have it, and the address of each one's: zeros where there is none."""
        b, here = self.builder, self.has(PRESENT[header.name])
        name, added, count, sign = PLACES[header.name]
        wide = _lanes(64)

        def widened(column: str) -> Any:
            return self.column(self.kind.level + column, 64)

        at = self.column("data", 64)
        if name != "l2" or self.kind.level:
            at = each(b, wide, b.add, at, widened(name))
        if count:
            at = each(b, wide, lambda a, n: b.add(a, b.mul(n, constant_like(n, 4 * sign))), at, widened(count))
        if added:
            at = each(b, wide, lambda a: b.add(a, constant_like(a, added)), at)
        nothing = spread(b, wide, zeros(b))
        return here, unpacked(b, each(b, wide, b.select, here, at, nothing))

    def field(self, header: Header, field: Field) -> Any:
        b, bits = self.builder, lane_bits(field)
        _, addresses = self.header(header)
        word = _word_at(header, field)
        if word is None:
            kind = _lanes(max(bits, 32))
            loaded = [load_big_endian(b, b.add(a, I64(field.offset)), field.width) for a in addresses]
            value = packed(b, kind, [v if v.type == kind.element else b.zext(v, kind.element) for v in loaded])
            shift = field.shift
        else:
            value = self._words(addresses, header, word)
            shift = field.shift + 8 * (word + 4 - field.offset - field.width)
        kind = _lanes(max(bits, 32))
        if shift:
            value = each(b, kind, lambda v: b.lshr(v, constant_like(v, shift)), value)
        value = each(b, kind, lambda v: b.and_(v, constant_like(v, field.mask)), value)
        if bits == 1:
            return each(b, _lanes(1), lambda v: b.icmp_unsigned("!=", v, constant_like(v, 0)), value)
        return value

    def _words(self, addresses: list[Any], header: Header, at: int) -> Any:
        """The 32-bit words at an offset of each header, in host byte order."""
        b, kind = self.builder, _lanes(32)
        if kind.apart:
            return packed(b, kind, [b.bswap(self._load(b.add(a, I64(at)), I32)) for a in addresses])
        start, size = _row(header, at)
        row = ir.VectorType(I32, size // 4)
        rows = [self._load(b.add(a, I64(start)), row) for a in addresses]
        while len(rows) > 1:
            lanes = 2 * rows[0].type.count
            both = ir.Constant(ir.VectorType(I32, lanes), list(range(lanes)))
            rows = [b.shuffle_vector(one, other, both) for one, other in zip(rows[::2], rows[1::2], strict=True)]
        places = [k * (size // 4) + (at - start) // 4 for k in range(LANES)]
        chosen = ir.Constant(ir.VectorType(I32, LANES), places)
        words = b.shuffle_vector(rows[0], ir.Constant(rows[0].type, ir.Undefined), chosen)
        name = f"llvm.bswap.{kind.overloaded}"
        swap = b.module.globals.get(name) or ir.Function(b.module, ir.FunctionType(kind.llvm, [kind.llvm]), name)
        return b.call(swap, [words])


def _word_at(header: Header, field: Field) -> int | None:
    """Where four bytes lie that hold a field and are all the header's; None where there are none."""
    if lane_bits(field) > 32 or header.size < 4:
        return None
    last = header.size - 4
    for start in (field.offset // 4 * 4, last, field.offset):
        if start <= min(last, field.offset) and field.offset + field.width <= start + 4:
            return start
    return None


def _row(header: Header, at: int) -> tuple[int, int]:
    """Start and size of the piece of a header that the word at `at` is read with: few pieces, shared by many fields."""
    size = next(s for s in (16, 8, 4) if s <= header.size)
    last = header.size - size
    last -= (last - at) % 4  # a word is whole in it
    if at >= last >= 0:
        return last, size
    start = at % 4 + at // size * size
    return min(start, at), size


@infer_getattr
class _GroupAttributes(AttributeTemplate):  # type: ignore[misc]
    key = GroupType

    def generic_resolve(self, kind: GroupType, name: str) -> Any:
        if name in HEADERS_OF_GROUPS:
            return GroupHeaderType(kind, HEADER[name])
        if name in ("here", "is_fragment"):
            return _lanes(1)
        if name in ("proto", "vlan_depth", "mpls_depth"):
            return _lanes(32)
        if kind.level:
            return None
        if name == "inner":
            return GroupType(kind.burst, kind.shared, INNER)
        return _lanes(64) if name == "time" else _lanes(32) if name in NUMBERS else None


@lower_getattr_generic(GroupType)
def _group_get(context: Any, builder: Any, kind: GroupType, value: Any, name: str) -> Any:
    if name in HEADERS_OF_GROUPS or name == "inner":
        return value
    packets = _Packets(context, builder, kind, value)
    if name == "here":
        return packets.has(HERE) if kind.level else packets.active()
    if name == "is_fragment":
        return packets.has(FRAGMENT)
    bits = 64 if name == "time" else 32
    if name == "proto":
        there = packets.has(PRESENT["ipv4"] | PRESENT["ipv6"])
    else:
        there = packets.has(HERE) if kind.level else packets.active()
    of_level = name in ("proto", "vlan_depth", "mpls_depth")
    column = packets.column(kind.level + name if of_level else name, bits)
    return each(builder, _lanes(bits), builder.select, there, column, spread(builder, _lanes(bits), I64(0)))


@infer_getattr
class _HeaderAttributes(AttributeTemplate):  # type: ignore[misc]
    key = GroupHeaderType

    def generic_resolve(self, kind: GroupHeaderType, name: str) -> Any:
        if name == "here":
            return _lanes(1)
        field = kind.header.field(name)
        return _lanes(lane_bits(field)) if field and lane_bits(field) else None


@lower_getattr_generic(GroupHeaderType)
def _header_get(context: Any, builder: Any, kind: GroupHeaderType, value: Any, name: str) -> Any:
    packets = _Packets(context, builder, kind.group, value)
    if name == "here":
        return packets.has(PRESENT[kind.header.name])
    field = kind.header.field(name)
    assert field is not None
    return packets.field(kind.header, field)
