"""The compiled `Histogram`."""

from __future__ import annotations

from burstline.native.memory import add_product, leading_zeros, load64, select, shift_right, store64
from burstline.state.histogram import COUNTS_AT


def add_value(histogram: int, value: int, n: int, bits: int) -> int:
    value = select(value < 0, 0, value)
    shift = 63 - leading_zeros(value | 1 << bits) - bits
    place = histogram + COUNTS_AT + 8 * ((shift << bits) + shift_right(value, shift))
    store64(place, load64(place) + n)
    add_product(histogram, value, n)
    return 0
