"""Sixteen tuples of three words become words of sixteen tuples, and are hashed; to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.simd import u32x48
from burstline.simd.memory import load_vector, scratch, store_vector
from burstline.state.toeplitz_kernel import hash_words3


def hash_tuples(context: Any) -> int:
    """The number of tuples is a multiple of sixteen."""
    room = scratch()
    for first in range(0, context.count, 16):
        whole: Any = load_vector(u32x48, context.tuples + 12 * first)
        store_vector(room, whole.every(3, 0))
        store_vector(room + 64, whole.every(3, 1))
        store_vector(room + 128, whole.every(3, 2))
        store_vector(context.found + 4 * first, hash_words3(context.tables, room))
    return 0
