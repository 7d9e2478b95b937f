"""The compiled longest-prefix match."""

from __future__ import annotations

from burstline.native.memory import load32, shift_right
from burstline.state.prefix_map import CHILD, NODE, ROOT


def prefix_find(trie: int, high: int, low: int) -> int:
    """Value + 1 of the longest prefix, or 0. The address is `high`, then `low`, from the top bit on."""
    entry = load32(trie + shift_right(high, 48) * 4)
    at = 16
    while entry & CHILD:
        word = high if at < 64 else low
        byte = shift_right(word, 56 - (at & 63)) & 0xFF
        entry = load32(trie + (ROOT + (entry & (CHILD - 1)) * NODE + byte) * 4)
        at += 8
    return entry
