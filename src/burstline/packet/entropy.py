"""The entropy of bytes, in whole numbers, so that compiled and interpreted it is the very same."""

from __future__ import annotations

import functools
import math

from burstline.native.bytes_view import Bytes

MOST_BYTES = 4096  # that are looked at
SCALE = 16  # bits behind the point of the table's numbers


@functools.cache
def table() -> tuple[int, ...]:
    """`n * log2(n)` for each count."""
    return (0, *(round(n * math.log2(n) * (1 << SCALE)) for n in range(1, MOST_BYTES + 1)))


def byte_entropy(view: Bytes) -> int:
    """How evenly bytes are spread over their values, in thousandths of a bit a byte (Shannon, 1948).

    0 where all are the same, 8000 where each value is as frequent, as in what is encrypted or compressed; text has some
    4000 to 5000. Of the first 4,096 bytes, and at most log2 of their number; of none it is 0."""
    data = bytes(view[:MOST_BYTES])
    if not data:
        return 0
    terms = table()
    return ((terms[len(data)] - sum(terms[data.count(value)] for value in set(data))) * 1000 // len(data)) >> SCALE
