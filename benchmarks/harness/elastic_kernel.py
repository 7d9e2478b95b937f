"""A worker that holds as many buffers as a load says, tick by tick."""

from __future__ import annotations

from benchmarks.harness.elastic import Follower
from burstline.buffers.magazine import CoreCache
from burstline.buffers.magazine_kernel import give, take
from burstline.native.memory import cycles, external, load64, store64
from burstline.native.struct_type import reference

cache_at = reference(CoreCache)
usleep = external("usleep", 1)
BURST, TICKS_HELD = 64, 4


def hand_back(f: Follower, cache: CoreCache, left: int) -> None:
    while f.held > left:
        first = (f.taken - f.held) % f.room
        n = min(BURST, f.held - left, f.room - first)
        give(cache, f.ring + 8 * first, n)
        f.held -= n


def follow(f: Follower) -> int:
    """The oldest buffers are given back first; none is held for more than `TICKS_HELD` ticks."""
    cache = cache_at(f.cache)
    start = cycles()
    for tick in range(f.ticks):
        wanted = load64(f.load + 8 * tick)
        hand_back(f, cache, f.held - f.held // TICKS_HELD)
        while f.held < wanted:
            n = min(BURST, wanted - f.held, f.room - f.taken % f.room)
            if take(cache, f.ring + 8 * (f.taken % f.room), n) == 0:
                if n == 1 or take(cache, f.ring + 8 * (f.taken % f.room), 1) == 0:
                    break
                n = 1
            f.taken += n
            f.held += n
        store64(f.failed + 8 * tick, wanted - f.held if f.held < wanted else 0)
        hand_back(f, cache, wanted)
        while cycles() - start < (tick + 1) * f.tick:
            usleep(50)
    return 0


def counter(unused: int) -> int:
    return cycles()
