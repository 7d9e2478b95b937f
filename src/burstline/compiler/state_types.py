"""State objects in compiled code: each is a linker symbol; what stages do with it calls that kind's kernel."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.imputils import lower_builtin, lower_constant
from numba.core.typing.templates import AbstractTemplate, AttributeTemplate, infer_getattr, infer_global, signature
from numba.extending import models, register_model, typeof_impl

from burstline.compiler.packet_type import PacketType
from burstline.native.address_type import IPV4, AddressType
from burstline.native.bytes_type import BYTES, BytesViewType, view_of
from burstline.native.memory import I64, load, store
from burstline.native.passes import takes
from burstline.native.struct_type import StructRefType
from burstline.packet.burst_type import read
from burstline.pipeline.match import Match
from burstline.state.byte_histogram import ByteHistogram
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.pattern_set import PatternHead, PatternSet
from burstline.state.prefix_map import PrefixMap
from burstline.state.rule_set import RuleSet, RuleSetHead
from burstline.state.toeplitz import Toeplitz, ToeplitzHead

i64 = types.int64
PLACE = types.UniTuple(i64, 2)  # type: ignore[attr-defined]
NEXT_RULE, RULE_VALUE = "burstline_next_rule", "burstline_rule_value"
FIND_LITERAL, COUNT_BYTES = "burstline_find_literal", "burstline_count_bytes"
FLOW_LOOKUP, DIGEST_NEW, PREFIX_FIND = "burstline_flow_lookup", "burstline_digest_new", "burstline_prefix_find"


class StateType(types.Type):
    """One state object: `kind` names its class, `owner` is the Python object."""

    kind = ""

    def __init__(self, owner: Any) -> None:
        self.owner = owner
        self.symbol = owner.symbol
        super().__init__(f"{self.kind}({self.symbol}, {hash(repr(owner.signature()))})")


class CounterType(StateType):
    kind = "Counter"


class FlowTableType(StateType):
    kind = "FlowTable"


class DigestType(StateType):
    kind = "Digest"


class PrefixMapType(StateType):
    kind = "PrefixMap"


class MatchType(StateType):
    kind = "Match"


class ByteHistogramType(StateType):
    kind = "ByteHistogram"


class PatternSetType(StateType):
    kind = "PatternSet"


class ToeplitzType(StateType):
    kind = "Toeplitz"


class RuleSetType(StateType):
    kind = "RuleSet"


for _python, _numba in (
    (Counter, CounterType),
    (FlowTable, FlowTableType),
    (Digest, DigestType),
    (PrefixMap, PrefixMapType),
    (Match, MatchType),
    (RuleSet, RuleSetType),
    (Toeplitz, ToeplitzType),
    (PatternSet, PatternSetType),
    (ByteHistogram, ByteHistogramType),
):
    typeof_impl.register(_python)(lambda value, context, kind=_numba: kind(value))

    @register_model(_numba)
    class _Address(models.PrimitiveModel):  # type: ignore[misc]
        def __init__(self, manager: Any, kind: types.Type) -> None:
            super().__init__(manager, kind, I64)


@lower_constant(StateType)
def _constant(context: Any, builder: Any, kind: StateType, value: Any) -> Any:
    symbol = builder.module.globals.get(kind.symbol)
    if symbol is None:
        symbol = ir.GlobalVariable(builder.module, I64, kind.symbol)
        symbol.linkage = "external"
    return builder.ptrtoint(symbol, I64)


def _call(builder: Any, name: str, args: list[Any]) -> Any:
    function = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(I64, [I64] * len(args)), name
    )
    return builder.call(function, args)


def _method(kind: type[StateType], name: str, returns: Any, *arguments: Any, optional: int = 0) -> Any:
    """Declare `object.name(arguments)`; the last `optional` arguments may be left out."""

    class Template(AbstractTemplate):  # type: ignore[misc]
        key = f"{kind.kind}.{name}"

        def generic(self, args: Any, kws: Any) -> Any:
            if kws or not len(arguments) - optional <= len(args) <= len(arguments):
                return None
            wanted = tuple(w if w is not types.Integer else i64 for w in arguments[: len(args)])
            fits = all(
                isinstance(a, w) if isinstance(w, type) else takes(w, a) for a, w in zip(args, wanted, strict=True)
            )
            result = returns if isinstance(returns, types.Type) else returns(self.this)
            final = tuple(a if isinstance(w, type) else w for a, w in zip(args, wanted, strict=True))
            return signature(result, *final, recvr=self.this) if fits else None

    return Template


METHODS = {
    CounterType: {"add": _method(CounterType, "add", types.none, types.Integer, optional=1)},
    DigestType: {"new": _method(DigestType, "new", lambda this: StructRefType(this.owner.record.layout))},
    PrefixMapType: {"get": _method(PrefixMapType, "get", i64, AddressType, types.Integer)},
    ByteHistogramType: {"add": _method(ByteHistogramType, "add", types.none, BYTES)},
    PatternSetType: {
        "first_in": _method(PatternSetType, "first_in", i64, PacketType),
        "find": _method(PatternSetType, "find", PLACE, BYTES, types.Integer, types.Integer, optional=2),
    },
    ToeplitzType: {"hash": _method(ToeplitzType, "hash", i64, PacketType)},
    RuleSetType: {
        "match": _method(RuleSetType, "match", i64, PacketType),
        "next_match": _method(RuleSetType, "next_match", i64, PacketType, types.Integer),
        "value": _method(RuleSetType, "value", i64, types.Integer),
    },
}

for _kind, _methods in METHODS.items():

    @infer_getattr
    class _Methods(AttributeTemplate):  # type: ignore[misc]
        key = _kind

        def generic_resolve(self, kind: StateType, name: str) -> Any:
            template = METHODS[type(kind)].get(name)
            return types.BoundFunction(template, kind) if template else None


@lower_builtin("Counter.add", CounterType)
@lower_builtin("Counter.add", CounterType, types.Integer)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    n = args[1] if len(args) == 2 else I64(1)
    store(builder, builder.add(load(builder, args[0], I64, 8), n), args[0], 8)
    return context.get_dummy_value()


@lower_builtin("Digest.new", DigestType)
def _new(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, DIGEST_NEW, [args[0], I64(sig.args[0].owner.stride)])


@infer_global(operator.getitem)
class _FlowOf(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], FlowTableType) and isinstance(args[1], PacketType):
            return signature(StructRefType(args[0].owner.record.layout), *args)
        return None


@lower_builtin(operator.getitem, FlowTableType, PacketType)
def _flow_of(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    burst = sig.args[1].burst
    key = read(builder, burst, packet.burst, "key", packet.index)
    hashed = read(builder, burst, packet.burst, "hash", packet.index)
    return _call(builder, FLOW_LOOKUP, [args[0], key, hashed, I64(sig.args[0].owner.stride)])


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], PrefixMapType) and isinstance(args[1], AddressType):
            return signature(types.boolean, *args)
        if len(args) == 2 and isinstance(args[0], MatchType) and isinstance(args[1], PacketType) and not args[1].level:
            return signature(types.boolean, *args)
        if args == (args[0], BYTES) and isinstance(args[0], PatternSetType):
            return signature(types.boolean, *args)
        if len(args) == 2 and isinstance(args[0], RuleSetType) and _is_whole(args[1]):
            return signature(types.boolean, *args)
        return None


def _find(builder: Any, prefixes: Any, kind: Any, address: Any) -> Any:
    """Value + 1, or 0."""
    if kind == IPV4:
        trie = load(builder, prefixes, I64, 8)
        high, low = builder.shl(builder.zext(address, I64), I64(32)), I64(0)
    else:
        trie = load(builder, builder.add(prefixes, I64(8)), I64, 8)
        high = builder.trunc(builder.lshr(address, address.type(64)), I64)
        low = builder.trunc(address, I64)
    return _call(builder, PREFIX_FIND, [trie, high, low])


@lower_builtin(operator.contains, PrefixMapType, AddressType)
def _contains(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_unsigned("!=", _find(builder, args[0], sig.args[1], args[1]), I64(0))


def matches_symbol(symbol: str) -> str:
    """Of the compiled filter: link layer, address of the bytes, captured bytes, length on the wire."""
    return f"{symbol}_matches"


@lower_builtin(operator.contains, MatchType, PacketType)
def _matches(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    columns = ("link", "data", "captured", "length")
    values = [read(builder, sig.args[1].burst, packet.burst, name, packet.index) for name in columns]
    return builder.icmp_unsigned("!=", _call(builder, matches_symbol(sig.args[0].owner.symbol), values), I64(0))


@lower_builtin("PrefixMap.get", PrefixMapType, AddressType, types.Integer)
def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    found = _find(builder, args[0], sig.args[1], args[1])
    missing = builder.icmp_unsigned("==", found, I64(0))
    return builder.select(missing, args[2], builder.sub(found, I64(1)))


def _is_whole(kind: Any) -> bool:
    """A packet, not what its tunnel carries."""
    return isinstance(kind, PacketType) and not kind.level


def _worked_out(context: Any, builder: Any, sig: Any, args: Any, place: int) -> Any:
    """A packet's 32 bits of what was worked out for the whole burst; its address is at `place` of the state."""
    packet = context.make_helper(builder, sig.args[1], args[1])
    results = load(builder, builder.add(args[0], I64(place)), I64, 8)
    return load(builder, builder.add(results, builder.mul(packet.index, I64(4))), ir.IntType(32), 4)


@lower_builtin("RuleSet.match", RuleSetType, PacketType)
def _match(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = RuleSetHead.layout.offset("results")
    return builder.sext(_worked_out(context, builder, sig, args, place), I64)


@lower_builtin("Toeplitz.hash", ToeplitzType, PacketType)
def _hash(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = ToeplitzHead.layout.offset("results")
    return builder.zext(_worked_out(context, builder, sig, args, place), I64)


@lower_builtin(operator.contains, RuleSetType, PacketType)
def _in_rules(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed(">=", _match(context, builder, sig, args), I64(0))


@lower_builtin("RuleSet.next_match", RuleSetType, PacketType, types.Integer)
def _next_match(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    packet = context.make_helper(builder, sig.args[1], args[1])
    return _call(builder, NEXT_RULE, [args[0], packet.burst, packet.index, args[2]])


@lower_builtin("RuleSet.value", RuleSetType, types.Integer)
def _rule_value(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, RULE_VALUE, list(args))


def _found_literal(context: Any, builder: Any, args: Any) -> Any:
    view = view_of(context, builder, args[1])
    at = args[2] if len(args) > 2 else I64(0)
    after = args[3] if len(args) > 3 else I64(-1)
    return _call(builder, FIND_LITERAL, [args[0], view.address, view.size, at, after])


@lower_builtin("PatternSet.find", PatternSetType, types.VarArg(types.Any))  # type: ignore[attr-defined]
def _find_literal(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    found = _found_literal(context, builder, args)
    none = builder.icmp_signed("<", found, I64(0))
    number = builder.select(none, I64(-1), builder.and_(found, I64((1 << 20) - 1)))
    at = builder.select(none, I64(0), builder.lshr(found, I64(20)))
    return context.make_tuple(builder, PLACE, [number, at])


@lower_builtin(operator.contains, PatternSetType, BytesViewType)
def _has_literal(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_signed(">=", _found_literal(context, builder, args), I64(0))


@lower_builtin("PatternSet.first_in", PatternSetType, PacketType)
def _first_in(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    place = PatternHead.layout.offset("results")
    return builder.sext(_worked_out(context, builder, sig, args, place), I64)


@lower_builtin("ByteHistogram.add", ByteHistogramType, BytesViewType)
def _count_bytes(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    view = view_of(context, builder, args[1])
    _call(builder, COUNT_BYTES, [args[0], view.address, view.size])
    return context.get_dummy_value()
