"""The compiled `byte_entropy`: a histogram of bytes, then a sum over it."""

from __future__ import annotations

from burstline.native.memory import address_of, clear, load8, load16, load64, store16
from burstline.packet.entropy import MOST_BYTES, SCALE
from burstline.simd.memory import scratch

terms = address_of("burstline_entropy_terms")


def entropy_of(data: int, size: int) -> int:
    """Two histograms in turn, since a count that was just written cannot be read at once."""
    count = min(size, MOST_BYTES)
    if count <= 0:
        return 0
    even = scratch()
    odd, table = even + 512, terms()
    clear(even, 1024)
    for k in range(0, count - 1, 2):
        one, other = even + 2 * load8(data + k), odd + 2 * load8(data + k + 1)
        store16(one, load16(one) + 1)
        store16(other, load16(other) + 1)
    if count & 1:
        last = even + 2 * load8(data + count - 1)
        store16(last, load16(last) + 1)
    total = 0
    for value in range(256):
        total += load64(table + 8 * (load16(even + 2 * value) + load16(odd + 2 * value)))
    return ((load64(table + 8 * count) - total) * 1000 // count) >> SCALE
