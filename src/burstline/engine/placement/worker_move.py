"""A worker that goes on on another core while it works: what moved along, and what stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from burstline.engine.placement.belongings import Belonging
from burstline.numa.memory_policy import Moved, place


@dataclass(frozen=True)
class WorkerMove:
    """CPUs and nodes before and after; pages by whose they are; `stays` is memory that cannot move, by name and node:
    cards may write to buffers at any time, by addresses of physical memory."""

    worker: int
    cpu_before: int
    cpu: int
    node_before: int | None
    node: int
    memory: Mapping[str, Moved]
    stays: tuple[tuple[str, int], ...]
    seconds: float

    @property
    def pages(self) -> Moved:
        return sum(self.memory.values(), Moved())

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def text(self) -> str:
        pages = self.pages
        said = f"worker {self.worker} went from CPU {self.cpu_before} (node {self.node_before}) to CPU {self.cpu} "
        said += f"(node {self.node}) in {1000 * self.seconds:.1f} ms: "
        said += f"{pages.moved:,} pages moved, {pages.there:,} were there"
        if pages.stayed:
            said += f", {pages.stayed:,} stayed elsewhere ({pages.why})"
        for name, node in self.stays:
            said += f"\n  {name} stays on node {node}: cards write to it"
        return said


def move_memory(own: Iterable[Belonging], node: int) -> dict[str, Moved]:
    """Have all of it on a node, from now on. Small things go first: what is touched for each packet."""
    done: dict[str, Moved] = {}
    for each in sorted(own, key=lambda b: sum(size for _, size in b.ranges)):
        done[each.name] = sum((place(start, size, node) for start, size in each.ranges), Moved())
        each.home = node if each.home is not None else None
    return done
