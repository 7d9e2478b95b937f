"""The compiled `CountMin`. Depth is a constant in each call, so that the loops over rows are unrolled."""

from __future__ import annotations

from burstline.native.memory import load64, scale, shift_right, store64, wrapping_add
from burstline.state.count_min import COUNTERS, HEAD, LINE
from burstline.state.key_hash_kernel import hash_word


def line_of(sketch: int, pair: int, hashed: int) -> int:
    """The address of a key's line for two rows."""
    turned = hashed if pair % 2 == 0 else shift_right(hashed, 32) | hashed << 32
    lines = load64(sketch)
    return sketch + HEAD + LINE * (pair * lines + scale(turned, lines, 64))


def first_of(pair: int, hashed: int) -> int:
    """The offset of its counter of the first row in that line."""
    return 8 * (shift_right(hashed, 4 * (pair % 2)) & 3)


def second_of(pair: int, hashed: int) -> int:
    return 8 * (shift_right(hashed, 4 * (pair % 2)) >> 2 & 3) + 8 * COUNTERS


def estimate(sketch: int, key: int, depth: int) -> int:
    """Of the key with this hash."""
    least, hashed = (1 << 63) - 1, key
    for pair in range(depth // 2):
        hashed = hash_word(hashed) if pair % 2 == 0 else hashed
        line = line_of(sketch, pair, hashed)
        least = min(least, load64(line + first_of(pair, hashed)), load64(line + second_of(pair, hashed)))
    return least


def add(sketch: int, key: int, n: int, depth: int) -> int:
    """The new estimate."""
    store64(sketch + 8, wrapping_add(load64(sketch + 8), n))
    least, hashed = (1 << 63) - 1, key
    for pair in range(depth // 2):
        hashed = hash_word(hashed) if pair % 2 == 0 else hashed
        line = line_of(sketch, pair, hashed)
        first, second = line + first_of(pair, hashed), line + second_of(pair, hashed)
        one, other = wrapping_add(load64(first), n), wrapping_add(load64(second), n)
        store64(first, one)
        store64(second, other)
        least = min(least, one, other)
    return least


def add_conservatively(sketch: int, key: int, n: int, depth: int) -> int:
    """Counters above the new estimate stay as they are."""
    store64(sketch + 8, wrapping_add(load64(sketch + 8), n))
    raised, least, hashed = wrapping_add(estimate(sketch, key, depth), n), (1 << 63) - 1, key
    for pair in range(depth // 2):
        hashed = hash_word(hashed) if pair % 2 == 0 else hashed
        line = line_of(sketch, pair, hashed)
        first, second = line + first_of(pair, hashed), line + second_of(pair, hashed)
        one, other = max(load64(first), raised), max(load64(second), raised)
        store64(first, one)
        store64(second, other)
        least = min(least, one, other)
    return least
