"""The sum behind checksums in compiled code: sixty-four bytes at a time.

The one's complement sum does not depend on the order of bytes (RFC 1071 section 2.B), so that words are added as they
lie in memory, and the result is turned round once.
"""

from __future__ import annotations

from typing import Any

from burstline.native.memory import swap16
from burstline.simd import m64, u8x64, u32x16
from burstline.simd.memory import load_masked, load_vector


def sum16_in_vectors(data: int, at: int, end: int) -> int:
    """As `checksum.sum16`, modulo 65,535, of up to 256 KiB."""
    total: Any = u32x16(0)
    place = at
    while place + 64 <= end:
        words: Any = load_vector(u32x16, data + place)
        total = total + (words & 0xFFFF) + (words >> 16)
        place += 64
    if place < end:
        left = end - place
        last: Any = u32x16.cast(load_masked(u8x64, data + place, m64((1 << (left & 63)) - 1)))
        total = total + (last & 0xFFFF) + (last >> 16)
    whole: int = total.sum()
    whole = (whole & 0xFFFF) + (whole >> 16)
    whole = (whole & 0xFFFF) + (whole >> 16)
    return swap16(whole)
