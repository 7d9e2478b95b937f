"""What the buffers of a size class are doing, as numbers for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from burstline.buffers.size_class import SizeClass


@dataclass(frozen=True)
class CoreUsage:
    """One core's part: buffers taken and given ever, free ones in its cache, those of calls that found too few, how
    often the depot's line came to it from another core, and the magazines that it fetched since its own were empty.

    `took` is how many buffers it took from its magazines in the last tick, `forecast` how many it had been expected to;
    both are -1 where nobody looked.
    """

    core: int
    taken: int
    given: int
    cached: int
    failed: int
    transfers: int
    misses: int
    took: int = -1
    forecast: int = -1


@dataclass(frozen=True)
class Demand:
    """What was expected of a class: `forecast` buffers in use at the next tick, and by core what it took in the last
    tick and how much had been forecast of that."""

    forecast: int = -1
    cores: Mapping[int, tuple[int, int]] = field(default_factory=dict)


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
    def misses(self) -> int:
        return sum(core.misses for core in self.cores)

    @property
    def transfers(self) -> int:
        return sum(core.transfers for core in self.cores)

    def beside(self, demand: Demand) -> ClassUsage:
        """The same, with what was expected."""
        cores = [
            replace(core, took=took, forecast=forecast)
            for core in self.cores
            for took, forecast in [demand.cores.get(core.core, (-1, -1))]
        ]
        return replace(self, forecast=demand.forecast, cores=cores)

    def as_json(self) -> dict[str, Any]:
        sums = {name: getattr(self, name) for name in ("taken", "failed", "misses", "transfers")}
        return asdict(self) | sums


def usage_of(size: int, node: int, made: SizeClass) -> ClassUsage:
    """What a size class has, and what was done with it."""
    magazines = made.magazines
    in_use, cached = made.in_use, magazines.cached
    counts = [(core, magazines.count(core)) for core in magazines.busy]
    return ClassUsage(
        size, node, made.most, made.populated, in_use, cached, magazines.added - in_use - cached, made.parked,
        made.memory,
        cores=[
            CoreUsage(core, c.taken, c.given, c.cached, c.failed, c.transfers, c.from_depot + c.from_reserve)
            for core, c in counts
        ],
    )  # fmt: skip
