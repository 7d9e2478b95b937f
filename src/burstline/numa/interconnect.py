"""The interconnect as a graph: links with a bandwidth each way, and the route from each node to each other one.

Routes are fixed by firmware, so they are found, not chosen: the fewest hops, of those the widest, unless the machine
says `routing = "widest"`. Links that nobody tells are assumed from the distances (`assumed_links`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from burstline.errors import UsageError
from burstline.numa.topology import LOCAL, Link, Topology

# GB/s each way where nothing is known, so that plans prefer what is near: two UPI links of 10.4 GT/s between packages
# (20.8 GB/s each), a die's fabric within, a PCIe 5.0 x8 to memory without cores; and two channels of DDR4-3200 a
# memory controller, at least.
BETWEEN_PACKAGES = 41.6
WITHIN_PACKAGE = 100.0
TO_MEMORY = 31.5
CONTROLLER = 51.2
LATENCY = 90.0  # ns of a local read, where nothing is known: what Xeons and EPYCs of 2017 to 2023 have, within a fifth


@dataclass(frozen=True)
class Interconnect:
    """Arcs are links in one direction: `arcs[2 * k]` is link k from a to b, `arcs[2 * k + 1]` from b to a."""

    topology: Topology
    points: tuple[str, ...]
    links: tuple[Link, ...]
    routes: tuple[tuple[tuple[int, ...], ...], ...]  # arcs from node index to node index

    @classmethod
    def of(cls, topology: Topology) -> Interconnect:
        """Raises UsageError where some node cannot be reached."""
        links = completed(topology)
        nodes = tuple(f"n{node.number}" for node in topology.nodes)
        points = (*nodes, *sorted({end for link in links for end in (link.a, link.b)} - {*nodes}))
        place = {point: k for k, point in enumerate(points)}
        arcs = [arc for link in links for arc in ((place[link.a], place[link.b]), (place[link.b], place[link.a]))]
        widths = [link.bandwidth for link in links for _ in range(2)]
        routes = tuple(_routes(a, len(points), arcs, widths, len(nodes), topology.routing) for a in range(len(nodes)))
        for a, row in enumerate(routes):
            for b, route in enumerate(row):
                if a != b and not route:
                    raise UsageError(
                        f"no link leads from {nodes[a]} to {nodes[b]} of {topology.name}",
                        "give a [[link]] for each that there is, or none to have all assumed",
                    )
        return cls(topology, points, links, routes)

    @cached_property
    def bandwidths(self) -> NDArray[np.float64]:
        """GB/s of each arc."""
        return np.array([link.bandwidth for link in self.links for _ in range(2)], dtype=np.float64)

    @cached_property
    def controllers(self) -> NDArray[np.float64]:
        """GB/s of each node's memory controllers, assumed where nobody tells."""
        return np.array([node.bandwidth or CONTROLLER for node in self.topology.nodes], dtype=np.float64)

    @cached_property
    def latencies(self) -> NDArray[np.float64]:
        """ns of a read by cores of a node (row) of memory on another (column): the distance times a local read."""
        local = np.array([node.latency or 0.0 for node in self.topology.nodes])
        usual = local[local > 0].min() if (local > 0).any() else LATENCY
        distances = np.array(self.topology.distances, dtype=np.float64) / LOCAL
        made: NDArray[np.float64] = distances * usual
        # A node's own latency counts where it is told: HBM and CXL memory differ from DRAM at the same distance.
        for k, value in enumerate(local):
            if value > 0 and self.topology.nodes[k].package is not None:
                made[k] = distances[k] * value
        return made

    @cached_property
    def hops(self) -> NDArray[np.int64]:
        return np.array([[len(route) for route in row] for row in self.routes], dtype=np.int64)

    def width(self, a: int, b: int) -> float:
        """GB/s of the narrowest link from a node to another, both by index; infinite at home."""
        return min((self.bandwidths[arc] for arc in self.routes[a][b]), default=float("inf"))

    def arc_name(self, arc: int) -> str:
        link = self.links[arc // 2]
        a, b = (link.a, link.b) if arc % 2 == 0 else (link.b, link.a)
        return f"{a} -> {b}"


def completed(topology: Topology) -> tuple[Link, ...]:
    """All links of a machine: those that are told, and from nodes to the `p` of their package; or assumed ones."""
    if not topology.links:
        return assumed_links(topology)
    links = list(topology.links)
    have = {frozenset((link.a, link.b)) for link in links}
    hubs = {end for link in links for end in (link.a, link.b) if end[0] == "p" and end[1:].isdigit()}
    for node in topology.nodes:
        ends = (f"n{node.number}", f"p{node.package}")
        if ends[1] in hubs and frozenset(ends) not in have:
            links.append(Link(*ends, max(WITHIN_PACKAGE, node.bandwidth or 0.0), "fabric", True))
    return tuple(links)


def assumed_links(topology: Topology) -> tuple[Link, ...]:
    """Links that the distances suggest: two packages are joined where no third one is nearer to both. Nodes of one
    package meet in its `p`; memory without cores hangs at the node with cores that is nearest."""
    nodes = [node for node in topology.nodes if node.package is not None]
    by_package: dict[int, list[int]] = {}
    for node in nodes:
        by_package.setdefault(node.package or 0, []).append(node.number)
    hub = {p: f"p{p}" if len(members) > 1 else f"n{members[0]}" for p, members in by_package.items()}
    made = [
        Link(f"n{n}", hub[p], WITHIN_PACKAGE, "fabric", True)
        for p, members in by_package.items()
        if len(members) > 1
        for n in members
    ]

    def apart(p: int, q: int) -> int:
        return min(topology.distance(a, b) for a in by_package[p] for b in by_package[q])

    packages = sorted(by_package)
    for i, p in enumerate(packages):
        for q in packages[i + 1 :]:
            between = apart(p, q)
            if not any(apart(p, r) < between and apart(r, q) < between for r in packages if r not in (p, q)):
                made.append(Link(hub[p], hub[q], BETWEEN_PACKAGES, "link", True))
    for node in topology.nodes:
        if node.package is None and nodes:
            made.append(
                Link(f"n{node.number}", f"n{topology.nearest_with_cores(node.number)}", TO_MEMORY, "link", True)
            )
    return tuple(_joined(made, hub))


def _joined(links: list[Link], hub: dict[int, str]) -> list[Link]:
    """Odd distances may leave islands: each is joined to the first."""
    first, *others = hub.values()
    for other in others:
        if first not in _reached(other, links):
            links.append(Link(first, other, BETWEEN_PACKAGES, "link", True))
    return links


def _reached(start: str, links: list[Link]) -> set[str]:
    seen = {start}
    grown = True
    while grown:
        new = {end for link in links for end in (link.a, link.b) if {link.a, link.b} & seen}
        grown = not new <= seen
        seen |= new
    return seen


def _routes(
    start: int, count: int, arcs: list[tuple[int, int]], widths: list[float], nodes: int, routing: str
) -> tuple[tuple[int, ...], ...]:
    if routing == "hops":
        return _fewest(start, count, arcs, widths)[:nodes]
    best: list[tuple[int, ...]] = [()] * nodes
    for width in sorted({*widths}):  # the last width at which a node is still reached is that of its widest route
        keep = [k for k, w in enumerate(widths) if w >= width]
        found = _fewest(start, count, [arcs[k] for k in keep], [widths[k] for k in keep])
        for b in range(nodes):
            if found[b]:
                best[b] = tuple(keep[k] for k in found[b])
    return tuple(best)


def _fewest(start: int, count: int, arcs: list[tuple[int, int]], widths: list[float]) -> tuple[tuple[int, ...], ...]:
    """The routes of fewest hops, of those the widest: a breadth-first search that keeps the widest way to a point."""
    after: list[list[int]] = [[] for _ in range(count)]
    for k, (a, _) in enumerate(arcs):
        after[a].append(k)
    depth = {start: 0}
    width = {start: float("inf")}
    last: dict[int, int] = {}
    queue = deque([start])
    while queue:
        at = queue.popleft()  # all ways to a point are one hop shorter than it, so its width is known by now
        for k in after[at]:
            to, wide = arcs[k][1], min(width[at], widths[k])
            if to not in depth:
                depth[to] = depth[at] + 1
                queue.append(to)
            elif depth[to] <= depth[at] or wide <= width[to]:
                continue
            width[to], last[to] = wide, k
    routes = []
    for point in range(count):
        way: list[int] = []
        while point in last and point != start:
            way.append(last[point])
            point = arcs[last[point]][0]
        routes.append(tuple(reversed(way)))
    return tuple(routes)


def with_assumed_links(topology: Topology) -> Topology:
    """The same machine with every link spelled out."""
    return replace(topology, links=completed(topology))
