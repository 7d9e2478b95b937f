"""Memory that buffers take for frames of 64 bytes to 9 KB which are there at the same time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burstline.buffers.classes import histogram, propose, rounded
from burstline.buffers.pool import PacketDataPool
from burstline.errors import BurstlineError

FRAMES, CLASSES, LARGEST = 50_000, 16, 9216
# By size: parts of the frames. The first is the simple IMIX of RFC 6985, with a jumbo frame in ten.
MIXES: dict[str, dict[int, float]] = {
    "IMIX and jumbo frames": {64: 7, 594: 4, 1518: 1, 9000: 1.33},
    "64 bytes to 9 KB, all alike": {size: 1 for size in range(64, LARGEST + 1)},
}


@dataclass(frozen=True)
class Held:
    """In bytes: of our pool, of one with buffers of 9 KB only, and of one that has just the lines of each frame."""

    ours: int
    single: int
    clairvoyant: int


def held(mix: str) -> Held:
    """Put frames of a mix into buffers. The classes, and how many buffers each has at first, are from another draw of
    the mix; what that lacks is populated when it is needed, and counts, as does what it has too much."""
    seen, frames = histogram(_draw(mix, 1)), _draw(mix, 2)
    classes = propose(seen, CLASSES, LARGEST)
    buffers = dict.fromkeys(classes.sizes, 0)
    for size, count in seen.items():
        buffers[classes.class_for(size) or LARGEST] += count
    single = PacketDataPool([LARGEST], buffers=FRAMES)
    return Held(
        _filled(PacketDataPool(classes.sizes, buffers=buffers, most=FRAMES), frames),
        _filled(single, frames),
        sum(rounded(size) for size in frames),
    )


def _filled(pool: PacketDataPool, frames: list[int]) -> int:
    """Bytes that a pool takes with all these frames in it, its magazines and caches among them."""
    taken = []
    for size in frames:
        try:
            taken.append(pool.take(size))
        except BurstlineError:  # of this class and all above it
            pool.grow(size, 1)
            taken.append(pool.take(size))
    memory = pool.memory + pool.overhead
    for data in taken:
        pool.give(data)
    assert pool.in_use == 0
    return memory


def _draw(mix: str, seed: int) -> list[int]:
    sizes = np.array(list(MIXES[mix]))
    parts = np.array(list(MIXES[mix].values()))
    drawn: list[int] = np.random.default_rng(seed).choice(sizes, FRAMES, p=parts / parts.sum()).tolist()
    return drawn
