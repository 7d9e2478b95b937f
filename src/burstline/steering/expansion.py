"""Ranges as the values and masks that hardware compares with."""

from __future__ import annotations


def prefixes(low: int, high: int, bits: int = 16) -> list[tuple[int, int]]:
    """Values with masks that together match each number from `low` to `high`, both included, once, and no other.

    They are prefixes, and there are no fewer that do: at most 2 * bits - 2 (Gupta and McKeown, "Algorithms for packet
    classification", IEEE Network 15(2), 2001: the worst range is 1 to 2**bits - 2).
    """
    made = []
    while low <= high:
        size = low & -low if low else 1 << bits  # the largest block that may begin here
        while size > high - low + 1:
            size >>= 1
        made.append((low, (1 << bits) - size))
        low += size
    return made
