"""A machine as the planner sees it: packages, memory nodes, L3 domains, cores, distances, links and PCI devices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

LOCAL = 10  # the distance of a node to itself: ACPI 6.5 section 5.2.17, System Locality Information Table
MOST_DISTANCE = 254  # the same: 255 is "unreachable"


@dataclass(frozen=True)
class Node:
    """A memory node. `memory` is bytes, `bandwidth` GB/s of its controllers, `latency` ns of a read by its own cores;
    None is what nobody told. `package` is None where memory has no cores of its own (CXL, HBM)."""

    number: int
    package: int | None
    memory: int = 0
    bandwidth: float | None = None
    latency: float | None = None
    kind: str = "DRAM"


@dataclass(frozen=True)
class Cache:
    """An L3 domain: what cores of one node share. `size` is bytes, 0 where it is unknown or there is no L3."""

    number: int
    node: int
    size: int = 0


@dataclass(frozen=True)
class Core:
    """A physical core; `cpus` are its hardware threads, as the kernel numbers them."""

    number: int
    package: int
    node: int
    cache: int
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Link:
    """A link of the interconnect between two points: `n3` is node 3, `p1` what joins the nodes of package 1, any other
    name a switch. `bandwidth` is GB/s each way."""

    a: str
    b: str
    bandwidth: float
    kind: str = "link"
    assumed: bool = False


@dataclass(frozen=True)
class Device:
    """A PCI network device; `node` is None where firmware does not tell, `bandwidth` GB/s each way of its PCIe link."""

    address: str
    node: int | None
    bandwidth: float | None = None
    name: str = ""


@dataclass(frozen=True)
class Topology:
    """A machine. `distances` has a row for each node, in the order of `nodes` (ACPI's SLIT: 10 is local).

    `links` are those that are known; where there are none they are assumed (`Interconnect.of`). `routing` says which
    way traffic takes: the fewest hops, of those the widest; or the widest, of those the fewest hops.
    """

    name: str
    nodes: tuple[Node, ...]
    caches: tuple[Cache, ...]
    cores: tuple[Core, ...]
    distances: tuple[tuple[int, ...], ...]
    links: tuple[Link, ...] = ()
    devices: tuple[Device, ...] = ()
    source: str = ""
    routing: Literal["hops", "widest"] = "hops"

    @cached_property
    def index(self) -> dict[int, int]:
        """The place of each node in `nodes` and `distances`, by its number."""
        return {node.number: k for k, node in enumerate(self.nodes)}

    @cached_property
    def core_of(self) -> dict[int, Core]:
        """The core that each CPU is a thread of."""
        return {cpu: core for core in self.cores for cpu in core.cpus}

    @cached_property
    def packages(self) -> tuple[int, ...]:
        return tuple(sorted({core.package for core in self.cores}))

    @property
    def threads(self) -> int:
        return len(self.core_of)

    def cores_in(self, *, node: int | None = None, cache: int | None = None) -> list[Core]:
        """The cores of a node, or of an L3 domain."""
        return [
            core
            for core in self.cores
            if (node is None or core.node == node) and (cache is None or core.cache == cache)
        ]

    def distance(self, a: int, b: int) -> int:
        return self.distances[self.index[a]][self.index[b]]

    def device(self, address: str) -> Device | None:
        """The device with this PCI address, with or without a domain."""
        return next((d for d in self.devices if d.address in (address, f"0000:{address}")), None)

    def nearest_with_cores(self, node: int) -> int:
        """The node with cores that is nearest to another one; itself where it has some."""
        here = {core.node for core in self.cores}
        return min(here, key=lambda other: (self.distance(node, other), other))

    def as_json(self) -> dict[str, Any]:
        from dataclasses import asdict

        return {
            "name": self.name,
            "source": self.source,
            "packages": len(self.packages),
            "threads": self.threads,
            "nodes": [asdict(node) for node in self.nodes],
            "caches": [asdict(cache) for cache in self.caches],
            "cores": [asdict(core) for core in self.cores],
            "distances": self.distances,
            "links": [asdict(link) for link in self.links],
            "routing": self.routing,
            "devices": [asdict(device) for device in self.devices],
        }


def assumed_distances(nodes: int) -> tuple[tuple[int, ...], ...]:
    """What Linux assumes without a SLIT: 10 at home, 20 elsewhere (REMOTE_DISTANCE of include/linux/topology.h)."""
    return tuple(tuple(LOCAL if a == b else 20 for b in range(nodes)) for a in range(nodes))
