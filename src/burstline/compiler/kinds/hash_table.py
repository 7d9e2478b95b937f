"""`key in seen` and what else stages do with a `Set` or a `Map`."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.key_type import key_words, table_key
from burstline.compiler.state_type import StateType, call, i64, kernel, method, state_type
from burstline.native.memory import I64, load
from burstline.native.struct_type import StructRefType
from burstline.state.hash_buckets import HashHead
from burstline.state.hash_table_kernel import table_kernels
from burstline.state.map import Map
from burstline.state.set import Set

HEAD = StructRefType(HashHead.layout)
WITH_NUMBER = ("get", "put", "add_to", "pop")  # kernels that take a number besides the key
Any_ = types.VarArg(types.Any)  # type: ignore[attr-defined]


class HashTableType(StateType):
    pass


@state_type(Set, {"add": method(types.boolean, table_key), "discard": method(types.boolean, table_key)})
class SetType(HashTableType):
    pass


@state_type(
    Map,
    {
        "get": method(i64, table_key, types.Integer),
        "add": method(i64, table_key, types.Integer, optional=1),
        "pop": method(i64, table_key, types.Integer),
        "discard": method(types.boolean, table_key),
    },
)
class MapType(HashTableType):
    pass


def _declare(words: int, values: int) -> dict[str, str]:
    """The kernels for tables of a shape: their names."""
    made = table_kernels(words, values)._asdict()
    return {
        name: kernel(
            f"burstline_table_{name}_{words}_{values}",
            function,
            *(HEAD, i64, i64, *([i64] if name in WITH_NUMBER else [])),
            inline=True,
        )
        for name, function in made.items()
    }


KERNELS = {(words, values): _declare(words, values) for words in (1, 2) for values in (0, 1)}


def _call(builder: Any, name: str, sig: Any, args: Any, *more: Any) -> Any:
    """A kernel of the table in `args[0]`, with the key in `args[1]`."""
    owner = sig.args[0].owner
    low, high = key_words(builder, sig.args[1], args[1])
    return call(builder, KERNELS[owner.words, int(owner.has_values)][name], [args[0], low, high, *more])


def _call_bool(builder: Any, name: str, sig: Any, args: Any) -> Any:
    return builder.icmp_unsigned("!=", _call(builder, name, sig, args), I64(0))


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        key = table_key(args[0], args[1]) if len(args) == 2 and isinstance(args[0], HashTableType) else None
        return signature(types.boolean, args[0], key) if key else None


@infer_global(operator.getitem)
class _Get(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        key = table_key(args[0], args[1]) if len(args) == 2 and isinstance(args[0], MapType) else None
        return signature(i64, args[0], key) if key else None


@infer_global(operator.setitem)
class _Put(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        key = table_key(args[0], args[1]) if isinstance(args[0], MapType) else None
        fits = key and isinstance(args[2], (types.Integer, types.Boolean))
        return signature(types.void, args[0], key, i64) if fits else None


@infer_global(len)
class _Len(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, *args) if isinstance(args[0], HashTableType) else None


@lower_builtin(len, HashTableType)
def _len(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return load(builder, builder.add(args[0], I64(HashHead.layout.offset("used"))), I64, 8)


@lower_builtin(operator.contains, HashTableType, types.Any)
def _contains(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call_bool(builder, "has", sig, args)


@lower_builtin(operator.getitem, MapType, types.Any)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, "get", sig, args, I64(0))


@lower_builtin(operator.setitem, MapType, types.Any, types.Integer)
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    _call(builder, "put", sig, args, args[2])
    return context.get_dummy_value()


@lower_builtin("Set.add", SetType, Any_)
def _add_key(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call_bool(builder, "add_key", sig, args)


@lower_builtin("Set.discard", SetType, Any_)
@lower_builtin("Map.discard", MapType, Any_)
def _discard(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call_bool(builder, "discard", sig, args)


@lower_builtin("Map.get", MapType, Any_)
def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, "get", sig, args, args[2])


@lower_builtin("Map.add", MapType, Any_)
def _add(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, "add_to", sig, args, args[2] if len(args) > 2 else I64(1))


@lower_builtin("Map.pop", MapType, Any_)
def _pop(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _call(builder, "pop", sig, args, args[2])
