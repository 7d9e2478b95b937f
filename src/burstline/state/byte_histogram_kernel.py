"""The compiled `ByteHistogram`."""

from __future__ import annotations

from burstline.native.memory import load8, load64, store64
from burstline.state.byte_histogram import TABLES, VALUES

TABLE = 8 * VALUES


def count_bytes(histogram: int, data: int, size: int) -> int:
    """Each of four bytes in a table of its own."""
    for k in range(0, size - TABLES + 1, TABLES):
        for table in range(TABLES):
            place = histogram + table * TABLE + 8 * load8(data + k + table)
            store64(place, load64(place) + 1)
    for k in range(size // TABLES * TABLES, size):
        place = histogram + 8 * load8(data + k)
        store64(place, load64(place) + 1)
    return 0
