"""A demand on a machine as arrays, and what a placement of it costs: what the planner and its bound share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from burstline.errors import UsageError
from burstline.numa.cost_model import CostModel, Floats
from burstline.numa.demand import Demand
from burstline.numa.interconnect import Interconnect
from burstline.numa.pins import Pins
from burstline.numa.route_table import RouteTable
from burstline.numa.topology import Topology

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Domain:
    """An L3 domain: `node` by index, its cores, and threads that it has room for (two a core, where it has so many)."""

    node: int
    size: int
    cores: int
    room: int
    cache: int


@dataclass(frozen=True)
class Spot:
    """Where everything is: the domain of each thread, the node of each memory, both by index."""

    domains: Ints
    memories: Ints


@dataclass(frozen=True)
class Cost:
    """The parts of what a placement costs, in cores."""

    latency: float
    waiting: float
    overload: float
    sharing: float
    cache: float

    @property
    def total(self) -> float:
        return self.latency + self.waiting + self.overload + self.sharing + self.cache


class Problem:
    """Resources are the arcs of the interconnect, then the memory controllers; `capacity` is GB/s of each."""

    def __init__(self, machine: Topology, demand: Demand, pins: Pins, model: CostModel | None = None) -> None:
        self.machine, self.demand, self.pins, self.model = machine, demand, pins, model or CostModel()
        model = self.model
        self.graph = Interconnect.of(machine)
        self.nodes = len(machine.nodes)
        self.domains = [_domain(machine, cache.number) for cache in machine.caches]
        self.domain_nodes = np.array([domain.node for domain in self.domains], dtype=np.int64)
        self.capacity = np.concatenate([self.graph.bandwidths, self.graph.controllers])
        arcs = len(self.graph.bandwidths)
        # GB/s on each resource of 1 GB/s that cores of node i read from memory of node j, or write to it.
        self.reading = np.zeros((self.nodes, self.nodes, len(self.capacity)))
        self.writing = np.zeros_like(self.reading)
        for i in range(self.nodes):
            for j in range(self.nodes):
                self.reading[i, j, list(self.graph.routes[j][i])] = 1
                self.writing[i, j, list(self.graph.routes[i][j])] = 1
                self.reading[i, j, arcs + j] = self.writing[i, j, arcs + j] = 1
        self.busy = np.array([thread.busy for thread in demand.threads])
        self.hot = np.array([float(thread.hot) for thread in demand.threads])
        self.sharing = np.array([model.sharing(thread.busy) for thread in demand.threads])
        self._hot: list[float] = self.hot.tolist()  # sums over a few are sooner without numpy
        self._sharing: list[float] = self.sharing.tolist()
        self.sizes = np.array([float(memory.size) for memory in demand.memories])
        self.own = self._own()
        self.of_thread: list[list[int]] = [[] for _ in demand.threads]
        self.of_memory: list[list[int]] = [[] for _ in demand.memories]
        for k, access in enumerate(demand.accesses):
            self.of_thread[access.thread].append(k)
            self.of_memory[access.memory].append(k)
        self._check_room()

    def _own(self) -> list[list[int]]:
        """The memories that only one thread touches, of each thread."""
        users: dict[int, set[int]] = {}
        for access in self.demand.accesses:
            users.setdefault(access.memory, set()).add(access.thread)
        own: list[list[int]] = [[] for _ in self.demand.threads]
        for memory, threads in users.items():
            if len(threads) == 1:
                own[next(iter(threads))].append(memory)
        return own

    def _check_room(self) -> None:
        room = sum(domain.room for domain in self.domains)
        threads = len(self.demand.threads)
        if threads > room:
            raise UsageError(
                f"{threads} threads are more than {self.machine.name} has room for: {room}, two a core at most",
                "give fewer workers",
            )
        if self.sizes.sum() > self.room.sum():
            raise UsageError(
                f"{self.sizes.sum():,.0f} bytes of tables and pools are more than the {self.room.sum():,.0f} of "
                f"{self.machine.name}", "make the tables smaller, or give fewer workers",
            )  # fmt: skip

        for m, memory in enumerate(self.demand.memories):
            if not self.allowed_nodes(m):
                raise UsageError(
                    f"{memory.name} has {memory.size:,} bytes, more than any node of {self.machine.name}",
                    "make it smaller",
                )

    @cached_property
    def room(self) -> Floats:
        """Bytes of each node; all there could be where nobody tells of any."""
        sizes = np.array([float(node.memory) for node in self.machine.nodes])
        return sizes if sizes.any() else np.full(self.nodes, 1e18)

    @cached_property
    def latencies(self) -> list[Floats]:
        """Cores that wait, of each access, by the nodes of thread (row) and memory (column)."""
        found = []
        for access in self.demand.accesses:
            memory = self.demand.memories[access.memory]
            ns = self.model.weighed(self.graph.latencies).copy()
            if memory.port_node is not None:
                at = self.machine.index[memory.port_node]
                ns[:, at] += self.model.l3 - self.graph.latencies[at, at]
            found.append(access.lines * 1e-9 / self.model.overlap * ns)
        return found

    @cached_property
    def least_stalls(self) -> Floats:
        """Cores that wait, of each thread where it waits least."""
        found = np.zeros(len(self.demand.threads))
        for t, accesses in enumerate(self.of_thread):
            nodes = sorted({int(self.domain_nodes[d]) for d in self.allowed_domains(t)})
            by_node = np.zeros(len(nodes))
            for k in accesses:
                among = self.allowed_nodes(self.demand.accesses[k].memory)
                by_node += self.latencies[k][np.ix_(nodes, among)].min(axis=1)
            found[t] = by_node.min()
        return found

    @cached_property
    def dma(self) -> Floats:
        """GB/s on each resource (last) by a port's writes and reads, of each memory and node of it."""
        found = np.zeros((len(self.demand.memories), self.nodes, len(self.capacity)))
        for m, memory in enumerate(self.demand.memories):
            if memory.port_node is not None:
                at = self.machine.index[memory.port_node]
                found[m] = memory.dma_in * self.writing[at] + memory.dma_out * self.reading[at]
        return found

    @cached_property
    def spill(self) -> float:
        """Cores that wait for each byte that does not fit into an L3: what threads read, evenly over what is hot."""
        lines = sum(access.lines for access in self.demand.accesses)
        mean = float(np.diag(self.graph.latencies).mean())
        return lines * 1e-9 * mean / self.model.overlap / self.hot.sum() if self.hot.sum() else 0.0

    @cached_property
    def route_tables(self) -> dict[int | None, RouteTable]:
        """By the port's node, as a number; None for memory that no port uses."""
        ports = {memory.port_node for memory in self.demand.memories}
        return {p: RouteTable(self.graph, None if p is None else self.machine.index[p]) for p in {None, *ports}}

    def traffic(self, access: int) -> Floats:
        """GB/s on each resource (last) of an access, by the nodes of thread and memory."""
        one = self.demand.accesses[access]
        return one.read * self.reading + one.written * self.writing

    def allowed_domains(self, thread: int) -> list[int]:
        """Where pins leave a thread."""
        cpu, node = self.pins.cpus.get(thread), self.pins.thread_nodes.get(thread)
        if cpu is not None:
            return [self.machine.core_of[cpu].cache]
        return [d for d, domain in enumerate(self.domains) if node is None or domain.node == self.machine.index[node]]

    def allowed_nodes(self, memory: int) -> list[int]:
        node = self.pins.memory_nodes.get(memory)
        if node is not None:
            return [self.machine.index[node]]
        return [j for j in range(self.nodes) if self.room[j] >= self.sizes[memory]]

    # ---- what a placement costs ----

    def loads(self, spot: Spot) -> Floats:
        """GB/s on each resource."""
        nodes = self.domain_nodes[spot.domains]
        total = np.zeros(len(self.capacity))
        for m, j in enumerate(spot.memories):
            total += self.dma[m, j]
        for access in self.demand.accesses:
            i, j = nodes[access.thread], spot.memories[access.memory]
            total += access.read * self.reading[i, j] + access.written * self.writing[i, j]
        return total

    def stalls(self, spot: Spot) -> Floats:
        """Cores that wait for memory, of each thread."""
        nodes = self.domain_nodes[spot.domains]
        found = np.zeros(len(self.demand.threads))
        for k, access in enumerate(self.demand.accesses):
            found[access.thread] += self.latencies[k][nodes[access.thread], spot.memories[access.memory]]
        return found

    def cost(self, spot: Spot) -> Cost:
        stalls = self.stalls(spot)
        sharing = cache = 0.0
        for d in range(len(self.domains)):
            here = [int(t) for t in np.flatnonzero(spot.domains == d)]
            if here:
                both = self.local(d, here)
                sharing, cache = sharing + both[0], cache + both[1]
        return Cost(
            float(stalls.sum()),
            float(self.model.waiting(self.loads(spot) / self.capacity).sum()),
            self.model.overload * float(np.maximum(0.0, self.busy + stalls - 1).sum()),
            sharing,
            cache,
        )

    def local(self, domain: int, threads: list[int]) -> tuple[float, float]:
        """What threads of one L3 domain cost each other: on cores that two share, and in L3."""
        size, hot, sharing = self.domains[domain].size, self._hot, self._sharing
        over = max(0.0, sum(hot[thread] for thread in threads) - size) if size else 0.0
        if not self.pins.cpus and len(threads) <= self.domains[domain].cores:
            return 0.0, self.spill * over
        return sum(sharing[thread] for thread in self.sharers(domain, threads)), self.spill * over

    def sharers(self, domain: int, threads: list[int]) -> list[int]:
        """The threads that share a core, if those share that lose least: what does not fit on cores of its own goes in
        pairs. Threads that are fixed to CPUs of one core do anyway."""
        fixed: dict[int, list[int]] = {}
        for thread in threads:
            cpu = self.pins.cpus.get(thread)
            if cpu is not None:
                fixed.setdefault(self.machine.core_of[cpu].number, []).append(thread)
        forced = [thread for each in fixed.values() if len(each) > 1 for thread in each]
        free = self.domains[domain].cores - len(fixed)
        loose = len(threads) - sum(map(len, fixed.values()))
        if loose <= free:
            return forced
        among = sorted({*threads} - {*forced}, key=lambda thread: (self._sharing[thread], thread))
        alone = [thread for thread in among if thread in self.pins.cpus]
        few = {*alone[loose - free :]}  # one of each pair, at least, is not fixed to a CPU
        return forced + [thread for thread in among if thread not in few][: 2 * (loose - free)]

    def fits(self, spot: Spot) -> bool:
        """Whether no domain has more threads than room, and no node more memory."""
        counts = np.bincount(spot.domains, minlength=len(self.domains))
        held = np.bincount(spot.memories, weights=self.sizes, minlength=self.nodes)
        return all(counts[d] <= domain.room for d, domain in enumerate(self.domains)) and bool(
            (held <= self.room).all()
        )


def _domain(machine: Topology, cache: int) -> Domain:
    cores = machine.cores_in(cache=cache)
    room = sum(min(2, len(core.cpus)) for core in cores)
    return Domain(machine.index[machine.caches[cache].node], machine.caches[cache].size, len(cores), room, cache)
