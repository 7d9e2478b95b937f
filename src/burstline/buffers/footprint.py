"""Receive rings and pool caches that fit the caches of the core that polls them.

A descriptor of a receive ring holds a buffer that the device has written and the core will read. When all of them take
more than the core's share of the last-level cache, what the device wrote has left it before it is read: B. Pismenny, A.
Morrison, D. Tsafrir, "ShRing: Networking with Shared Receive Rings", OSDI 2023, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burstline.buffers.classes import OVERHEAD
from burstline.buffers.magazine import ROUNDS

MOST_DESCRIPTORS = 1024  # what DPDK's own applications take; more only makes the footprint larger
LEAST_DESCRIPTORS = 256  # the largest burst: fewer could not take what came while one was worked on
MOST_CACHE, LEAST_CACHE = 256, 32
LEAST_ROUNDS = 128  # two cores between which buffers go move the depot's line twice a magazine: once for 64 buffers
MAGAZINES = 2  # that each core keeps
# What a core touches of a buffer that goes through its cache: both lines of rte_mbuf, and two lines of headers.
TOUCHED = 4 * 64
HELD = 3 / 2  # rte_mempool lets a cache grow to one and a half of its size before it flushes
L2_PART = 4  # a fourth of L2 for free buffers: the rest is for code, tables and the packets themselves


@dataclass(frozen=True)
class CacheShare:
    """What one core has of the caches, in bytes; 0 where the system does not tell."""

    l2: int = 0
    l3: int = 0


@dataclass(frozen=True)
class Footprint:
    """What the receive rings of one worker take: `queues` that it polls, each of `descriptors`, each with buffers of
    `buffer` bytes, all counted; and the free buffers of its core: a `cache`, and two magazines of `rounds`."""

    queues: int
    descriptors: int
    buffer: int
    cache: int
    rounds: int
    share: CacheShare

    @property
    def rings(self) -> int:
        """Bytes of the buffers that wait in the rings."""
        return self.queues * self.descriptors * self.buffer

    @property
    def held(self) -> int:
        """Free buffers that the core keeps at most."""
        return int(self.cache * HELD) + MAGAZINES * self.rounds

    @property
    def freed(self) -> int:
        """Bytes of those that it touches again and again."""
        return self.held * TOUCHED

    @property
    def exceeds(self) -> bool:
        """Whether the rings are more than the core's share of the last-level cache."""
        return bool(self.share.l3) and self.rings > self.share.l3

    @property
    def cache_exceeds(self) -> bool:
        """Whether its free buffers are more than they should have of L2."""
        return bool(self.share.l2) and self.freed > self.share.l2 // L2_PART

    def lines(self) -> list[str]:
        """The arithmetic, for people."""
        of_l3 = f"{_size(self.share.l3)} that a core has of L3" if self.share.l3 else "an unknown share of L3"
        of_l2 = f"a fourth of {_size(self.share.l2)} L2" if self.share.l2 else "an unknown L2"
        return [
            f"receive rings of a worker: {self.queues} x {self.descriptors:,} descriptors x {self.buffer:,} bytes = "
            f"{_size(self.rings)}, {'more than' if self.exceeds else 'of'} {of_l3}",
            f"free buffers of a core: ({HELD} x {self.cache} + {MAGAZINES} x {self.rounds}) x {TOUCHED} bytes = "
            f"{_size(self.freed)}, "
            f"{'more than' if self.cache_exceeds else 'of'} {of_l2}",
        ]


def buffer_bytes(sizes: Sequence[int]) -> int:
    """Bytes that one descriptor keeps: a buffer of each of these classes."""
    return sum(size + OVERHEAD for size in sizes)


def fitting(
    share: CacheShare,
    queues: int,
    buffer: int,
    descriptors: int | None = None,
    cache: int | None = None,
    *,
    magazines: bool = True,
) -> Footprint:
    """The footprint of the largest rings and pool cache, both powers of two, that fit the share of a core; or of those
    that are given, whatever they take. Behind a cache lie `magazines` of about its size, unless DPDK's own ops do."""

    def found(descriptors: int, cache: int) -> Footprint:
        return Footprint(queues, descriptors, buffer, cache, _rounds(cache) if magazines else 0, share)

    if descriptors is None:
        descriptors = MOST_DESCRIPTORS
        while descriptors > LEAST_DESCRIPTORS and found(descriptors, LEAST_CACHE).exceeds:
            descriptors //= 2
    if cache is None:
        cache = MOST_CACHE
        while cache > LEAST_CACHE and found(descriptors, cache).cache_exceeds:
            cache //= 2
    return found(descriptors, cache)


def _rounds(cache: int) -> int:
    return ROUNDS if cache >= MOST_CACHE else max(LEAST_ROUNDS, cache & -8)  # whole vectors


def _size(value: int) -> str:
    for unit, scale in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if value >= scale:
            return f"{value / scale:.1f}".removesuffix(".0") + f" {unit}"
    return f"{value} bytes"
