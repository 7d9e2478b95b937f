"""The compiled keys of a flow table, where they are not those of the parser, and their hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.native.address_type import IPV4, IPV6
from burstline.native.memory import (
    I64,
    copy,
    load64,
    mix,
    primitive,
    store,
    store8,
    store16,
    store32,
    store64,
    store_big_endian,
    swap32,
)
from burstline.packet.burst import BurstColumns
from burstline.packet.flow_key import KEY_SIZE
from burstline.packet.flow_key_kernel import SECRET_1, SECRET_2, SECRET_3, hash_flow_key, write_flow_key
from burstline.packet.found_kernel import HERE
from burstline.state.flow_head import SIDE
from burstline.state.flow_keys import FlowKeys, TupleKeys

from numba.core import types  # isort: skip

KEY_BITS = 0xFFFFFFFFFFFF  # of the first word
FLIPPED = SIDE << 48
put_ipv4 = primitive("put_ipv4", types.void, types.int64, IPV4)(lambda b, to, value: store(b, value, to))
put_ipv6 = primitive("put_ipv6", types.void, types.int64, IPV6)(lambda b, to, value: store_big_endian(b, value, to, 16))
STORE = {
    "put8": store8,
    "put16": store16,
    "put32": store32,
    "put64": store64,
    "put_ipv4": put_ipv4,
    "put_ipv6": put_ipv6,
}


@primitive("below", types.int64, types.int64, types.int64)
def below(b: Any, x: Any, y: Any) -> Any:
    """Unsigned less: 0 or 1."""
    return b.zext(b.icmp_unsigned("<", x, y), I64)


@primitive("swap64", types.int64, types.int64)
def swap64(b: Any, value: Any) -> Any:
    return b.bswap(value)


def hasher(keys: FlowKeys) -> Callable[[int], int]:
    """`(key)`: its hash, whatever the table's own bits in it."""
    words = keys.size // 8

    def hash_words(key: int) -> int:
        hashed = mix((load64(key) & KEY_BITS) ^ SECRET_1, load64(key + 8) ^ SECRET_2)
        for word in range(2, words):
            hashed = mix(hashed ^ SECRET_3, load64(key + 8 * word) ^ SECRET_1)
        return hashed

    return hash_flow_key if keys.is_usual else hash_words


def comes_second(high: int, low: int, port: int, other_high: int, other_low: int, other_port: int) -> bool:
    """Whether an end is above the other, by address, then port; addresses as numbers of 128 bits."""
    if high != other_high:
        return below(other_high, high) != 0
    if low != other_low:
        return below(other_low, low) != 0
    return other_port < port


def swap_ends(key: int) -> None:
    """Write a flow key for the other direction, and that it is."""
    head = load64(key)
    version = head >> 8 & 0xFF
    sport, dport = head >> 16 & 0xFFFF, head >> 32 & 0xFFFF
    store64(key, (head & 0xFFFF) | dport << 16 | sport << 32 | ((head & FLIPPED) ^ FLIPPED))
    if version == 4:
        pair = load64(key + 8)
        store64(key + 8, (pair >> 32 & 0xFFFFFFFF) | pair << 32)
    else:
        source, source_low = load64(key + 8), load64(key + 16)
        store64(key + 8, load64(key + 24))
        store64(key + 16, load64(key + 32))
        store64(key + 24, source)
        store64(key + 32, source_low)


def order_ends(key: int) -> None:
    """Write a flow key for both directions."""
    head = load64(key)
    version = head >> 8 & 0xFF
    sport, dport = head >> 16 & 0xFFFF, head >> 32 & 0xFFFF
    second = False
    if version == 4:
        pair = load64(key + 8)
        second = comes_second(0, swap32(pair & 0xFFFFFFFF), sport, 0, swap32(pair >> 32 & 0xFFFFFFFF), dport)
    elif version == 6:
        source, source_low = swap64(load64(key + 8)), swap64(load64(key + 16))
        second = comes_second(source, source_low, sport, swap64(load64(key + 24)), swap64(load64(key + 32)), dport)
    if second:
        swap_ends(key)


def tuple_writer(keys: TupleKeys) -> Callable[[BurstColumns, int, int], None]:
    """`(burst, packet, to)`: the tuple's part of a key."""
    tunnel, both_ways = keys.tunnel, keys.both_ways

    def write_tuple(burst: BurstColumns, i: int, to: int) -> None:
        if tunnel and burst.inner_present[i] & HERE:
            write_flow_key(
                to, burst.data[i], burst.inner_present[i], burst.inner_proto[i],
                burst.inner_l3[i], burst.inner_l4[i], burst.inner_end[i],
            )  # fmt: skip
        else:
            copy(to, burst.key[i], KEY_SIZE)
        if both_ways:
            order_ends(to)

    return write_tuple
