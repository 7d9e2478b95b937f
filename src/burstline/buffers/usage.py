"""What the buffers of a size class are doing, as numbers for people and programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from burstline.buffers.size_class import SizeClass


@dataclass(frozen=True)
class CoreUsage:
    """One core's part: buffers taken and given ever, free ones in its cache, those of calls that found too few, and how
    often the depot's line came to it from another core."""

    core: int
    taken: int
    given: int
    cached: int
    failed: int
    transfers: int


@dataclass(frozen=True)
class ClassUsage:
    """One size class of one node, in buffers of `size` bytes; `memory` is in bytes, 0 where it is not told.

    populated = in_use + cached + depot + parked. `peak` is the most in use that was seen, `forecast` how many were
    expected to be at this moment; both are -1 where nobody looked.
    """

    size: int
    node: int
    most: int
    populated: int
    in_use: int
    cached: int
    depot: int
    parked: int = 0
    memory: int = 0
    peak: int = -1
    forecast: int = -1
    cores: Sequence[CoreUsage] = ()

    @property
    def taken(self) -> int:
        return sum(core.taken for core in self.cores)

    @property
    def failed(self) -> int:
        return sum(core.failed for core in self.cores)

    @property
    def transfers(self) -> int:
        return sum(core.transfers for core in self.cores)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "taken": self.taken, "failed": self.failed, "transfers": self.transfers}


def usage_of(size: int, node: int, made: SizeClass) -> ClassUsage:
    """What a size class has, and what was done with it."""
    magazines = made.magazines
    in_use, cached = made.in_use, magazines.cached
    counts = [(core, magazines.count(core)) for core in magazines.busy]
    return ClassUsage(
        size, node, made.most, made.populated, in_use, cached, magazines.added - in_use - cached, made.parked,
        made.memory,
        cores=[CoreUsage(core, c.taken, c.given, c.cached, c.failed, c.transfers) for core, c in counts],
    )  # fmt: skip
