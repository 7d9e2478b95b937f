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
from burstline.native.memory import I64, load, store
from burstline.native.passes import takes
from burstline.native.struct_type import StructRefType
from burstline.packet.burst_type import read
from burstline.pipeline.match import Match
from burstline.state.counter import Counter
from burstline.state.digest import Digest
from burstline.state.flow_table import FlowTable
from burstline.state.prefix_map import PrefixMap

i64 = types.int64
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


for _python, _numba in (
    (Counter, CounterType),
    (FlowTable, FlowTableType),
    (Digest, DigestType),
    (PrefixMap, PrefixMapType),
    (Match, MatchType),
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
