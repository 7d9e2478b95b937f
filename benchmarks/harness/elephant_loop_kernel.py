"""Bursts of 64 packets added to a heavy-hitter sketch; to be compiled. Hashes and keys of bursts to come are fetched,
as a parser would have left them in the cache. Packets come `gap` ns one after another."""

from __future__ import annotations

from burstline.native.memory import cycles, prefetch, store64
from burstline.packet.flow_key import KEY_SIZE
from burstline.packet.flow_key_kernel import hash_flow_key
from burstline.state.heavy_hitters_kernel import add_packets

BURST, AHEAD = 64, 4


def hash_keys(keys: int, hashes: int, count: int) -> int:
    for k in range(count):
        store64(hashes + 8 * k, hash_flow_key(keys + KEY_SIZE * k))
    return 0


def with_hashes(sketch: int, hashes: int, keys: int, count: int, first: int, gap: int, held: int) -> int:
    """Packet `first` and those after it; returns the cycles that it took. There are keys of `held` packets, a power of
    two, which come again and again: as in a burst's column, which is always the same memory."""
    started = cycles()
    for k in range(first, first + count, BURST):
        for line in range(0, 8 * BURST, 64):
            prefetch(hashes + 8 * (k + AHEAD * BURST) + line)
        some, key = min(BURST, first + count - k), keys + KEY_SIZE * (k & held - 1)
        add_packets(sketch, hashes + 8 * k, key, 0, some, k * gap)
    return cycles() - started


def with_keys(sketch: int, room: int, keys: int, count: int, first: int, gap: int) -> int:
    """The same with the hashes still to be made, in a room for those of a burst."""
    started = cycles()
    for k in range(first, first + count, BURST):
        for line in range(0, KEY_SIZE * BURST, 64):
            prefetch(keys + KEY_SIZE * (k + 2 * BURST) + line)
        some = min(BURST, first + count - k)
        hash_keys(keys + KEY_SIZE * k, room, some)
        add_packets(sketch, room, keys + KEY_SIZE * k, 0, some, k * gap)
    return cycles() - started
