"""What stages hand to sets, maps and sketches as a key: numbers, addresses, and for sketches the packet itself."""

from __future__ import annotations

from typing import Any

from numba.core import types

from burstline.compiler.packet_type import PacketType
from burstline.compiler.state_type import StateType, is_whole, taken
from burstline.native.address_type import IPV4, IPV6, AddressType
from burstline.native.memory import I64
from burstline.packet.burst_type import read
from burstline.state.key_hash_kernel import word_hash, words_hash


def table_key(this: StateType, given: types.Type) -> types.Type | None:
    """A key that a set or a map takes: `method`."""
    kind = this.owner.key.kind
    if kind == "int":
        return IPV4 if given == IPV4 else taken(this, types.Integer, given)
    return given if given == (IPV6 if kind == "ipv6" else IPV4) else None


def sketch_key(this: StateType, given: types.Type) -> types.Type | None:
    """A key that a sketch takes."""
    return given if is_whole(given) or isinstance(given, AddressType) else taken(this, types.Integer, given)


def key_words(builder: Any, kind: Any, value: Any) -> tuple[Any, Any]:
    """The low and the high half of a number or an address."""
    if kind == IPV6:
        return builder.trunc(value, I64), builder.trunc(builder.lshr(value, value.type(64)), I64)
    return (builder.zext(value, I64) if kind == IPV4 else value), I64(0)


def key_hash(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """`hash_key` of a key, or of a packet's flow."""
    if isinstance(kind, PacketType):
        packet = context.make_helper(builder, kind, value)
        return word_hash(builder, read(builder, kind.burst, packet.burst, "hash", packet.index))
    low, high = key_words(builder, kind, value)
    return words_hash(builder, low, high) if kind == IPV6 else word_hash(builder, low)
