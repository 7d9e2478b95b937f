"""Memory that buffers take for frames of 64 bytes to 9 KB which are there at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from burstline.buffers.classes import histogram, propose, rounded
from burstline.buffers.pool import PacketDataPool

FRAMES, CLASSES, LARGEST = 50_000, 16, 9216
SPARE = 1.02  # buffers for each one that is needed
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
    """Put frames of a mix into buffers; the classes are those that a pool proposes for another draw of the mix."""
    seen, frames = _draw(mix, 1), _draw(mix, 2)
    classes = propose(histogram(seen.tolist()), CLASSES, LARGEST).sizes
    needed = {size: 0 for size in classes}
    for size, count in histogram(frames.tolist()).items():
        needed[next(c for c in classes if c >= size)] += count
    pool = PacketDataPool(classes, buffers={size: round(SPARE * count) for size, count in needed.items()})
    taken = [pool.take(int(size)) for size in frames]
    memory = pool.memory + pool.overhead
    for data in taken:
        pool.give(data)
    single = PacketDataPool([LARGEST], buffers=round(SPARE * FRAMES))
    return Held(memory, single.memory + single.overhead, int(sum(rounded(int(size)) for size in frames)))


def _draw(mix: str, seed: int) -> Any:
    sizes = np.array(list(MIXES[mix]))
    parts = np.array(list(MIXES[mix].values()))
    return np.random.default_rng(seed).choice(sizes, FRAMES, p=parts / parts.sum())
