"""Ranges as values and masks: exact, without overlap, and as few as can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from burstline.steering.expansion import prefixes


def fewest(low: int, high: int, first: int = 0, bits: int = 16) -> int:
    """How many nodes of the binary tree of all numbers are covered whole, counted from the root down."""
    last = first + (1 << bits) - 1
    if high < first or last < low:
        return 0
    if low <= first and last <= high:
        return 1
    half = 1 << bits - 1
    return fewest(low, high, first, bits - 1) + fewest(low, high, first + half, bits - 1)


ends = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted)


@given(ends)
def test_each_number_of_the_range_is_matched_once_and_no_other(pair: list[int]) -> None:
    low, high = pair
    found: list[int] = []
    for value, mask in prefixes(low, high):
        size = 0x10000 - mask
        assert size & size - 1 == 0, "a prefix"
        assert value & ~mask == 0
        found += range(value, value + size)
    assert found == list(range(low, high + 1))


@given(ends)
def test_no_fewer_would_do(pair: list[int]) -> None:
    assert len(prefixes(*pair)) == fewest(*pair)


def test_every_range_of_few_bits_is_exact_and_minimal() -> None:
    for low in range(16):
        for high in range(low, 16):
            pairs = prefixes(low, high, 4)
            assert [n for n in range(16) if any(n & m == v for v, m in pairs)] == list(range(low, high + 1))
            assert len(pairs) == fewest(low, high, 0, 4)


def test_the_worst_range_and_the_best() -> None:
    assert len(prefixes(1, 65534)) == 30
    assert prefixes(0, 65535) == [(0, 0)]
    assert prefixes(80, 80) == [(80, 0xFFFF)]
