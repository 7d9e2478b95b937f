"""Our rules over tuples that lie behind each other, to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.simd import u32x64
from burstline.simd.memory import load_vector, scratch
from burstline.state.rule_set_kernel import match_group, turn


def match_tuples(context: Any) -> int:
    """The number of tuples is a multiple of sixteen."""
    room = scratch()
    for first in range(0, context.packets, 16):
        whole: Any = load_vector(u32x64, context.tuples + 16 * first)
        turn(whole, room)
        match_group(context.table, 0xFFFF, 0, room, context.found + 4 * first)
    return 0
