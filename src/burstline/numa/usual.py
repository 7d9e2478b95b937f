"""Placements as they are made without a planner, to compare with: round robin, and by hops."""

from __future__ import annotations

import numpy as np

from burstline.numa.placing import NOWHERE
from burstline.numa.problem import Problem, Spot


def round_robin(problem: Problem, *, beside: bool = True) -> Spot:
    """Thread k on the next node in turn that has room, as a scheduler spreads them; memory where its first user is, or,
    without `beside`, on the next node in turn too."""
    counts = np.zeros(len(problem.domains), dtype=np.int64)
    nodes = sorted({domain.node for domain in problem.domains})
    domains = np.zeros(len(problem.demand.threads), dtype=np.int64)
    turn = 0
    for t in range(len(domains)):
        for _ in nodes:
            node = nodes[turn % len(nodes)]
            turn += 1
            open_ = [d for d, one in enumerate(problem.domains) if one.node == node and counts[d] < one.room]
            if open_:
                domains[t] = min(open_, key=lambda d: (counts[d] / problem.domains[d].cores, d))
                counts[domains[t]] += 1
                break
    if beside:
        return Spot(domains, _memories(problem, domains, pools_at_ports=False))
    return Spot(domains, np.array([_next(problem, m) for m in range(len(problem.demand.memories))], dtype=np.int64))


def _next(problem: Problem, memory: int) -> int:
    open_ = problem.allowed_nodes(memory)
    return open_[memory % len(open_)]


def by_hops(problem: Problem) -> Spot:
    """Each thread on the nearest node to its port, by hops, that has a core free, then a thread; pools on the port's
    node and tables on the thread's: what DPDK's guides advise."""
    counts = np.zeros(len(problem.domains), dtype=np.int64)
    domains = np.zeros(len(problem.demand.threads), dtype=np.int64)
    for t in range(len(domains)):
        port = _port(problem, t)

        def order(d: int, port: int = port) -> tuple[bool, int, int]:
            one = problem.domains[d]
            return bool(counts[d] >= one.cores), int(problem.graph.hops[port, one.node]), d

        open_ = [d for d, one in enumerate(problem.domains) if counts[d] < one.room]
        domains[t] = min(open_, key=order)
        counts[domains[t]] += 1
    return Spot(domains, _memories(problem, domains, pools_at_ports=True))


def _port(problem: Problem, thread: int) -> int:
    """The node (by index) of the port that a thread gets most from."""
    by_port: dict[int, float] = {}
    for k in problem.of_thread[thread]:
        access = problem.demand.accesses[k]
        node = problem.demand.memories[access.memory].port_node
        if node is not None:
            by_port[problem.machine.index[node]] = by_port.get(problem.machine.index[node], 0.0) + access.lines
    return max(by_port, key=by_port.__getitem__, default=0)


def _memories(
    problem: Problem, domains: np.ndarray[tuple[int], np.dtype[np.int64]], *, pools_at_ports: bool
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where there is room, else where there is most."""
    held = np.zeros(problem.nodes)
    found = np.full(len(problem.demand.memories), NOWHERE, dtype=np.int64)
    for m, memory in enumerate(problem.demand.memories):
        users = [problem.demand.accesses[k].thread for k in problem.of_memory[m]]
        node = int(problem.domain_nodes[domains[users[0]]]) if users else 0
        if pools_at_ports and memory.port_node is not None:
            node = problem.machine.index[memory.port_node]
        near = sorted(range(problem.nodes), key=lambda j: problem.machine.distances[node][j])
        open_ = [j for j in near if held[j] + problem.sizes[m] <= problem.room[j]]
        found[m] = open_[0] if open_ else int((problem.room - held).argmax())
        held[found[m]] += problem.sizes[m]
    return found
