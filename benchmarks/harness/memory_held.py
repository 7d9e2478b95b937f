"""Memory that buffers take for frames of 64 bytes to 9 KB which are there at the same time."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.harness.controlled import Controlled
from benchmarks.harness.loads import LOADS
from burstline.buffers.classes import histogram, propose, rounded
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.pool import PacketData, PacketDataPool
from burstline.errors import BurstlineError

FRAMES, CLASSES, LARGEST = 50_000, 16, 9216
TICKS, QUICK_TICKS = 1500, 60  # of the load, of which the first quarter does not count
# By size: parts of the frames. The first is the simple IMIX of RFC 6985, with a jumbo frame in ten.
JUMBO = "IMIX and jumbo frames"
MIXES: dict[str, dict[int, float]] = {
    JUMBO: {64: 7, 594: 4, 1518: 1, 9000: 1.33},
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


def held_over_time(mix: str, *, quick: bool = False) -> Held:
    """On average over a load that changes, tick by tick: of a pool whose classes, proposed for another draw of the mix,
    grow and shrink as the controller says; of one of 9 KB buffers that does so too; and of the lines of the frames
    that are there at the time. The first quarter does not count."""
    load = (8 * LOADS["diurnal, flash crowds"](QUICK_TICKS if quick else TICKS)).astype(int).tolist()
    classes = propose(histogram(_draw(mix, 1)), CLASSES, LARGEST).sizes
    ours, lines = _followed(classes, load, _draw(mix, 2))
    single, _ = _followed((LARGEST,), load, _draw(mix, 2))
    return Held(ours, single, lines)


def _followed(classes: Sequence[int], load: list[int], sizes: list[int]) -> tuple[int, int]:
    """Bytes that a pool takes on average, and the lines of the frames in it. The oldest frames leave first."""
    most = 2 * max(load)
    pool = PacketDataPool(classes, buffers=ROUNDS, most=most)
    controlled = [Controlled(each.made, ROUNDS, most) for each in pool.classes]
    frames, held = itertools.cycle(sizes), deque[tuple[int, PacketData]]()
    memory, lines, now = list[int](), list[int](), 0
    for wanted in load:
        while len(held) > wanted:
            size, data = held.popleft()
            pool.give(data)
            now -= rounded(size)
        while len(held) < wanted:
            size = next(frames)
            try:
                data = pool.take(size)
            except BurstlineError:  # of this class and all above it
                pool.grow(size, 1)
                data = pool.take(size)
            held.append((size, data))
            now += rounded(size)
        for each in controlled:
            each.look()
        memory.append(pool.memory + pool.overhead)
        lines.append(now)
    for _, data in held:
        pool.give(data)
    assert pool.in_use == 0
    counted = slice(len(load) // 4, None)
    return int(np.mean(memory[counted])), int(np.mean(lines[counted]))


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
