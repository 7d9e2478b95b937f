"""What threads do to one counter of references."""

from __future__ import annotations

from burstline.native.memory import fetch_add16


def add_and_forget(counter: int, n: int) -> int:
    """Adds 1 as often, and now and then more that is taken away again."""
    for k in range(n):
        fetch_add16(counter, 40_000 if k & 1 else 1)
        if k & 1:
            fetch_add16(counter, -39_999)
    return n
