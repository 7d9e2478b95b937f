"""A placement that is being changed: what each thread would cost elsewhere, with its own memory beside it.

The way is hierarchical: what goes over the interconnect depends on nodes alone, and is found for all nodes at once;
what threads cost each other in an L3 domain and on shared cores is added for each domain of a node.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from burstline.numa.cost_model import Floats
from burstline.numa.problem import Problem, Spot

NOWHERE = -1
DENSE = 20_000  # prices that are found at once; beyond it they are looked up, and added up


class Placing:
    """Threads and memories that are placed so far; `load` is what that puts on each resource."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.domains = np.full(len(problem.demand.threads), NOWHERE, dtype=np.int64)
        self.memories = np.full(len(problem.demand.memories), NOWHERE, dtype=np.int64)
        self.load = np.zeros(len(problem.capacity))
        self.held = np.zeros(problem.nodes)
        self.members: list[list[int]] = [[] for _ in problem.domains]
        self.here = [0.0] * len(problem.domains)  # what the members of each domain cost each other
        self.allowed = [problem.allowed_domains(t) for t in range(len(self.domains))]
        self.allowed_nodes = [problem.allowed_nodes(m) for m in range(len(self.memories))]
        self.shared = [m for m in range(len(self.memories)) if len({*self._users(m)}) > 1]
        weight = {
            m: sum(problem.demand.accesses[k].lines for k in problem.of_memory[m]) for m in range(len(self.memories))
        }
        self.own = [sorted(each, key=lambda m: -weight[m]) for each in problem.own]
        self.beside = [
            [k for k in problem.of_thread[t] if problem.demand.accesses[k].memory not in problem.own[t]]
            for t in range(len(self.domains))
        ]

    def _users(self, memory: int) -> list[int]:
        return [self.problem.demand.accesses[k].thread for k in self.problem.of_memory[memory]]

    @property
    def spot(self) -> Spot:
        return Spot(self.domains.copy(), self.memories.copy())

    def restore(self, spot: Spot) -> None:
        """Put everything where `spot` has it."""
        problem = self.problem
        self.domains[:] = spot.domains
        self.memories[:] = spot.memories
        self.load = problem.loads(spot)
        self.held = np.bincount(spot.memories, weights=problem.sizes, minlength=problem.nodes).astype(np.float64)
        self.members = [[int(t) for t in np.flatnonzero(spot.domains == d)] for d in range(len(problem.domains))]
        self.here = [sum(problem.local(d, each)) for d, each in enumerate(self.members)]

    # ---- one thread, with the memory that is its own ----

    def take(self, thread: int) -> tuple[int, list[int]]:
        """Take a thread and its own memory away; returns where they were, for `put`."""
        domain = int(self.domains[thread])
        own = [int(self.memories[m]) for m in self.own[thread]]
        self._change(thread, domain, own, -1.0)
        self.members[domain].remove(thread)
        self.here[domain] = sum(self.problem.local(domain, self.members[domain]))
        self.domains[thread] = NOWHERE
        for m in self.own[thread]:
            self.memories[m] = NOWHERE
        return domain, own

    def put(self, thread: int, domain: int, own: Sequence[int]) -> None:
        self.domains[thread] = domain
        for m, node in zip(self.own[thread], own, strict=True):
            self.memories[m] = node
        self._change(thread, domain, own, 1.0)
        self.members[domain].append(thread)
        self.here[domain] = sum(self.problem.local(domain, self.members[domain]))

    def _change(self, thread: int, domain: int, own: Sequence[int], sign: float) -> None:
        problem = self.problem
        i = problem.domain_nodes[domain]
        for m, node in zip(self.own[thread], own, strict=True):
            self.load += sign * problem.dma[m, node]
            self.held[node] += sign * problem.sizes[m]
        for k in problem.of_thread[thread]:
            access = problem.demand.accesses[k]
            j = self.memories[access.memory]
            if j != NOWHERE:
                self.load += sign * (access.read * problem.reading[i, j] + access.written * problem.writing[i, j])

    def price(self, thread: int, domain: int, own: Sequence[int]) -> float:
        """What a thread that was taken away would add to the cost at a domain, its own memory at these nodes."""
        problem = self.problem
        i = problem.domain_nodes[domain]
        load, stall = self.load.copy(), 0.0
        at = dict(zip(self.own[thread], own, strict=True))
        for m, node in at.items():
            load += problem.dma[m, node]
        for k in problem.of_thread[thread]:
            access = problem.demand.accesses[k]
            j = at.get(access.memory, int(self.memories[access.memory]))
            if j != NOWHERE:
                load += access.read * problem.reading[i, j] + access.written * problem.writing[i, j]
                stall += float(problem.latencies[k][i, j])
        return (
            self._waiting(load) - self._waiting(self.load) + self._stalled(thread, stall) + self.joining(thread, domain)
        )

    def _waiting(self, load: Floats) -> float:
        return float(self.problem.model.waiting(load / self.problem.capacity).sum())

    def _stalled(self, thread: int, stall: float) -> float:
        busy = float(self.problem.busy[thread])
        return stall + self.problem.model.overload * max(0.0, busy + stall - 1)

    def joining(self, thread: int, domain: int) -> float:
        """What a thread and the others of a domain would cost each other."""
        return sum(self.problem.local(domain, [*self.members[domain], thread])) - self.here[domain]

    def by_node(self, thread: int, at: Sequence[int]) -> tuple[Floats, list[list[int]]]:
        """What a thread that was taken away would add to the cost on each of these nodes, without what it costs there
        in L3 and on shared cores; and where its own memory would lie, each where it is best after those before it."""
        problem, model = self.problem, self.problem.model
        if len(at) * problem.nodes * len(problem.capacity) > DENSE:
            return self._by_node_alone(thread, at)
        nodes = np.asarray(at)
        load = np.repeat(self.load[None, :], len(nodes), axis=0)
        stall = np.zeros(len(nodes))
        for k in self.beside[thread]:
            access = problem.demand.accesses[k]
            j = self.memories[access.memory]
            if j != NOWHERE:
                load += access.read * problem.reading[nodes, j] + access.written * problem.writing[nodes, j]
                stall += problem.latencies[k][nodes, j]
        chosen: list[list[int]] = [[] for _ in nodes]
        held = np.repeat(self.held[None, :], len(nodes), axis=0)
        rows = np.arange(len(nodes))
        for m in self.own[thread]:
            among = np.asarray(self.allowed_nodes[m])
            more = np.repeat(problem.dma[m][among][None, :, :], len(nodes), axis=0)
            wait = np.zeros((len(nodes), len(among)))
            for k in problem.of_memory[m]:
                access = problem.demand.accesses[k]
                grid = np.ix_(nodes, among)
                more += access.read * problem.reading[grid] + access.written * problem.writing[grid]
                wait += problem.latencies[k][grid]
            price = model.waiting((load[:, None, :] + more) / problem.capacity).sum(axis=2) + wait
            price += model.overload * np.maximum(0.0, problem.busy[thread] + stall[:, None] + wait - 1)
            price = np.where(held[:, among] + problem.sizes[m] > problem.room[among], 1e9, price)
            best = price.argmin(axis=1)
            load += more[rows, best]
            stall += wait[rows, best]
            held[rows, among[best]] += problem.sizes[m]
            for row, j in enumerate(among[best]):
                chosen[row].append(int(j))
        price = model.waiting(load / problem.capacity).sum(axis=1) - self._waiting(self.load) + stall
        price += model.overload * np.maximum(0.0, problem.busy[thread] + stall - 1)
        price = np.where((held > problem.room).any(axis=1), price + 1e9, price)
        return price, chosen

    def _by_node_alone(self, thread: int, at: Sequence[int]) -> tuple[Floats, list[list[int]]]:
        """`by_node` for many nodes: each memory is placed as if the thread used no other, and prices are added up."""
        problem = self.problem
        nodes = np.asarray(at)
        price, stall = np.zeros(len(nodes)), np.zeros(len(nodes))
        for k in self.beside[thread]:
            access = problem.demand.accesses[k]
            j = self.memories[access.memory]
            if j != NOWHERE:
                table = problem.route_tables[None]
                found = table.prices(problem.model, self.load, problem.capacity, access.read, access.written, 0.0, 0.0)
                price += found[nodes, j]
                stall += problem.latencies[k][nodes, j]
        chosen: list[list[int]] = [[] for _ in nodes]
        held = np.repeat(self.held[None, :], len(nodes), axis=0)
        rows = np.arange(len(nodes))
        for m in self.own[thread]:
            memory, among = problem.demand.memories[m], np.asarray(self.allowed_nodes[m])
            accesses = [problem.demand.accesses[k] for k in problem.of_memory[m]]
            grid = np.ix_(nodes, among)
            waiting = problem.route_tables[memory.port_node].prices(
                problem.model, self.load, problem.capacity, sum(a.read for a in accesses),
                sum(a.written for a in accesses), memory.dma_in, memory.dma_out,
            )[grid]  # fmt: skip
            wait = np.zeros(waiting.shape)
            for k in problem.of_memory[m]:
                wait += problem.latencies[k][grid]
            both = np.where(held[:, among] + problem.sizes[m] > problem.room[among], 1e9, waiting + wait)
            best = both.argmin(axis=1)
            price += waiting[rows, best]
            stall += wait[rows, best]
            held[rows, among[best]] += problem.sizes[m]
            for row, j in enumerate(among[best]):
                chosen[row].append(int(j))
        price += stall + problem.model.overload * np.maximum(0.0, problem.busy[thread] + stall - 1)
        return np.where((held > problem.room).any(axis=1), price + 1e9, price), chosen

    def open_domains(self, thread: int) -> list[int]:
        """Where a thread may be and there is room."""
        return [d for d in self.allowed[thread] if len(self.members[d]) < self.problem.domains[d].room]

    def best(self, thread: int) -> tuple[float, int, list[int]]:
        """Where a thread that was taken away adds least to the cost: price, domain, nodes of its own memory."""
        open_ = self.open_domains(thread)
        nodes = sorted({int(self.problem.domain_nodes[d]) for d in open_})
        prices, chosen = self.by_node(thread, nodes)
        row = {node: k for k, node in enumerate(nodes)}
        found: tuple[float, int] | None = None
        for d in open_:
            price = float(prices[row[int(self.problem.domain_nodes[d])]])
            if found is not None and price >= found[0]:
                continue  # what is in the domain already only adds to it
            price += self.joining(thread, d)
            if found is None or price < found[0]:
                found = price, d
        assert found is not None  # the problem has room for all threads
        return found[0], found[1], chosen[row[int(self.problem.domain_nodes[found[1]])]]

    # ---- one memory ----

    def memory_prices(self, memory: int) -> dict[int, float]:
        """What all would cost with a memory on each node, less what does not depend on it."""
        problem = self.problem
        now = int(self.memories[memory])
        without, other = self.load.copy(), np.zeros(len(self.domains))
        if now != NOWHERE:
            without -= problem.dma[memory, now]
        users = [k for k in problem.of_memory[memory] if self.domains[problem.demand.accesses[k].thread] != NOWHERE]
        for k in users:
            access = problem.demand.accesses[k]
            i = problem.domain_nodes[self.domains[access.thread]]
            if now != NOWHERE:
                without -= access.read * problem.reading[i, now] + access.written * problem.writing[i, now]
            for each in problem.of_thread[access.thread]:
                j = self.memories[problem.demand.accesses[each].memory]
                if problem.demand.accesses[each].memory != memory and j != NOWHERE:
                    other[access.thread] += problem.latencies[each][i, j]
        found = {}
        for j in self.allowed_nodes[memory]:
            if j != now and self.held[j] + problem.sizes[memory] > problem.room[j]:
                continue
            load, stall = without + problem.dma[memory, j], other.copy()
            for k in users:
                access = problem.demand.accesses[k]
                i = problem.domain_nodes[self.domains[access.thread]]
                load += access.read * problem.reading[i, j] + access.written * problem.writing[i, j]
                stall[access.thread] += problem.latencies[k][i, j]
            over = problem.model.overload * np.maximum(0.0, problem.busy + stall - 1)
            found[j] = self._waiting(load) + float((stall + over).sum())
        return found

    def move_memory(self, memory: int, node: int) -> None:
        problem = self.problem
        now = int(self.memories[memory])
        for sign, j in ((-1.0, now), (1.0, node)):
            if j == NOWHERE:
                continue
            self.load += sign * problem.dma[memory, j]
            self.held[j] += sign * problem.sizes[memory]
            for k in problem.of_memory[memory]:
                access = problem.demand.accesses[k]
                if self.domains[access.thread] != NOWHERE:
                    i = problem.domain_nodes[self.domains[access.thread]]
                    self.load += sign * (access.read * problem.reading[i, j] + access.written * problem.writing[i, j])
        self.memories[memory] = node
