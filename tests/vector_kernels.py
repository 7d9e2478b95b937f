"""Functions over vectors, to be compiled: each writes what it works out to `to`."""

from __future__ import annotations

from burstline.simd.vector_type import (
    bits_of,
    choose,
    copy16,
    copy_8_or_32,
    load_first_of_2,
    load_first_of_4,
    load_lanes,
    load_second_of_2,
    load_second_of_4,
    load_third_of_4,
    store_lanes,
    store_lanes16,
    store_pairs,
    trailing_zeros,
)


def arithmetic(to: int, a: int, b: int) -> int:
    x, y = load_lanes(a), load_lanes(b)
    store_lanes(to, x + y)
    store_lanes(to + 64, x - 7)
    store_lanes(to + 128, (x & y) | 0xF0)
    store_lanes(to + 192, x ^ y << 3)
    store_lanes(to + 256, x >> 5)
    store_lanes(to + 320, choose(x < y, x, y))
    store_lanes(to + 384, choose((x == y) | (x > 0x80000000), 1, 0))
    store_lanes(to + 448, choose((x != y) & (y >= 100) & (x <= 0xFFFF0000), y, 9))
    return bits_of(x >= y)


def shuffles(to: int, a: int, b: int) -> int:
    store_lanes(to, load_first_of_4(a))
    store_lanes(to + 64, load_second_of_4(a))
    store_lanes(to + 128, load_third_of_4(a))
    store_lanes(to + 192, load_first_of_2(a))
    store_lanes(to + 256, load_second_of_2(a))
    store_lanes16(to + 320, load_lanes(b))
    store_pairs(to + 384, load_lanes(a), load_lanes(b))
    copy16(to + 512, b)
    copy_8_or_32(to + 528, b, True)
    copy_8_or_32(to + 560, b, False)
    return trailing_zeros(1 << 37)
