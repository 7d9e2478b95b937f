"""Every occurrence in payloads that lie behind each other, to be compiled."""

from __future__ import annotations

from typing import Any

from burstline.state.pattern_set_kernel import NUMBER_BITS, find_literal


def find_all(context: Any) -> int:
    """Counts them, and adds up their literals and starts."""
    for k in range(context.count):
        data = context.payloads + k * context.size
        found = find_literal(context.head, data, context.size, 0, -1)
        while found >= 0:
            at, number = found >> NUMBER_BITS, found & (1 << NUMBER_BITS) - 1
            context.found += 1
            context.starts += (number + 1) * (at + 1)
            found = find_literal(context.head, data, context.size, at, number)
    return 0
