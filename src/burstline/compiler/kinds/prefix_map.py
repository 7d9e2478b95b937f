"""`address in prefixes` and `routes.get(address, default)`."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature

from burstline.compiler.state_type import StateType, ahead, call, i64, kernel, method, state_type
from burstline.native.address_type import IPV4, AddressType
from burstline.native.memory import I64, load
from burstline.packet.fields import HEADER
from burstline.state import prefix_map_kernel
from burstline.state.prefix_map import PrefixMap

FIND = kernel("burstline_prefix_find", prefix_map_kernel.prefix_find, i64, i64, i64, inline=True)
for _version, _header in ((4, "ipv4"), (6, "ipv6")):
    for _field in ("src", "dst"):
        ahead(
            PrefixMap,
            f"burstline_foresee_{_header}_{_field}",
            prefix_map_kernel.foresight(_version, next(f.offset for f in HEADER[_header].fields if f.name == _field)),
            lambda needs, used=(_header, _field): used in needs.addresses,  # type: ignore[misc]
        )


@state_type(PrefixMap, {"get": method(i64, AddressType, types.Integer)})
class PrefixMapType(StateType):
    pass


@infer_global(operator.contains)
class _Contains(AbstractTemplate):  # type: ignore[misc]
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 2 and isinstance(args[0], PrefixMapType) and isinstance(args[1], AddressType):
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
    return call(builder, FIND, [trie, high, low])


@lower_builtin(operator.contains, PrefixMapType, AddressType)
def _contains(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.icmp_unsigned("!=", _find(builder, args[0], sig.args[1], args[1]), I64(0))


@lower_builtin("PrefixMap.get", PrefixMapType, AddressType, types.Integer)
def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    found = _find(builder, args[0], sig.args[1], args[1])
    missing = builder.icmp_unsigned("==", found, I64(0))
    return builder.select(missing, args[2], builder.sub(found, I64(1)))
