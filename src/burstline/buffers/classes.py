"""Size classes of packet buffers: which there are, which one a frame goes into, and which would waste least memory.

Sizes are bytes of packet; a buffer takes `OVERHEAD` more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from burstline.errors import UsageError

STEP = 64  # classes are whole cache lines
LARGEST = 65344  # of a class: with headroom it has to fit into rte_mbuf.buf_len, which has 16 bits
# What a buffer takes beside its packet: the header that rte_mempool puts before each object, rte_mbuf itself, and
# RTE_PKTMBUF_HEADROOM. Of mbufs only: a PacketDataPool's buffers are packet and nothing else.
HEADROOM = 128
OVERHEAD = 64 + 128 + HEADROOM
Histogram = Mapping[int, int]  # how many frames there are of each size


@dataclass(frozen=True)
class SizeClasses:
    """The sizes of a pool's buffers, in rising order, each a multiple of 64. Raises UsageError for others."""

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.sizes or list(self.sizes) != sorted(set(self.sizes)):
            raise UsageError(
                f"size classes {list(self.sizes)} are not in rising order", "give each size once, the smallest first"
            )
        for size in self.sizes:
            if size % STEP or not STEP <= size <= LARGEST:
                nearest = min(LARGEST, max(STEP, rounded(size)))
                raise UsageError(
                    f"a size class of {size} bytes: sizes are multiples of {STEP} from {STEP} to {LARGEST}",
                    f"write {nearest}",
                )

    @property
    def largest(self) -> int:
        return self.sizes[-1]

    def class_for(self, size: int) -> int | None:
        """The smallest class that a packet of `size` bytes fits into, if there is one."""
        place = bisect_left(self.sizes, size)
        return self.sizes[place] if place < len(self.sizes) else None

    def memory(self, frames: Histogram) -> int:
        """Bytes that buffers for all these frames at once take; frames that no class fits take as many of the largest
        as they need."""
        return sum(count * self._taken(size) for size, count in frames.items())

    def _taken(self, size: int) -> int:
        fit = self.class_for(size)
        return fit + OVERHEAD if fit is not None else -(-size // self.largest) * (self.largest + OVERHEAD)


# 128: the smallest frames, and headers up to TCP's over IPv6. 640: what has to pass any IPv4 link (576 bytes: RFC 791,
# section 3.2) in a tagged frame, the middle size of IMIX (RFC 6985). 2048: RTE_MBUF_DEFAULT_DATAROOM, a full frame
# however it is tagged; some NICs take buffers of whole KiB only. 9216: a jumbo frame.
DEFAULT = SizeClasses((128, 640, 2048, 9216))


def propose(frames: Histogram, k: int, largest: int | None = None) -> SizeClasses:
    """The at most `k` classes that hold these frames in the least memory. With `largest`, that is the last one, for
    frames that were not seen yet. Raises UsageError without frames, and where `largest` is less than the largest frame.

    Exact, by dynamic programming over the n distinct sizes, in O(k n**2): W. D. Fisher, "On grouping for maximum
    homogeneity", JASA 53 (1958), with the distance to the largest of a group in place of that to the mean.
    """
    counts = _by_lines(frames)
    if not counts and largest is None:
        raise UsageError("no frames to choose buffer sizes for", "give a capture with packets in it")
    if k < 1:
        raise UsageError(f"{k} size classes", "there is at least one")
    if largest is not None:
        largest = rounded(largest)
        if counts and max(counts) > largest:
            raise UsageError(f"a largest class of {largest} bytes is less than a frame of {max(counts)}", "raise it")
        counts.setdefault(largest, 0)
    sizes = sorted(counts)
    below = [0, *accumulate(counts[size] for size in sizes)]  # frames smaller than the size at that place
    # best[j]: bytes of buffers for all frames below place j, with the classes that `first` remembers.
    best = [0.0] + [float("inf")] * len(sizes)
    first: list[list[int]] = []
    for _ in range(min(k, len(sizes))):
        better, cut = [0.0], [0]
        for j in range(1, len(sizes) + 1):
            cost, at = min((best[i] + sizes[j - 1] * (below[j] - below[i]), i) for i in range(j))
            better.append(cost)
            cut.append(at)
        best = better
        first.append(cut)
    chosen, j = list[int](), len(sizes)
    for cut in reversed(first):
        if j:
            chosen.append(sizes[j - 1])
            j = cut[j]
    return SizeClasses(tuple(reversed(chosen)))


def clairvoyant(frames: Histogram) -> int:
    """Bytes that buffers take of which each has just the lines that its frame needs."""
    return sum(count * (size + OVERHEAD) for size, count in _by_lines(frames).items())


def histogram(sizes: Iterable[int]) -> dict[int, int]:
    """How many there are of each size, by rising size."""
    found: dict[int, int] = {}
    for size in sizes:
        found[size] = found.get(size, 0) + 1
    return dict(sorted(found.items()))


def rounded(size: int) -> int:
    """The next whole number of cache lines."""
    return max(STEP, -(-size // STEP) * STEP)


def _by_lines(frames: Histogram) -> dict[int, int]:
    counts: dict[int, int] = {}
    for size, count in frames.items():
        if count:
            counts[rounded(size)] = counts.get(rounded(size), 0) + count
    return counts
