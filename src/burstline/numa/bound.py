"""What no placement costs less than, where there are too many threads to find the cheapest one.

With scipy a relaxation: threads that use memory in the same proportions, as the queues of a port do, are one liquid,
of which any part may be anywhere; of how many threads are on a node follows how much of it there may be, and how many
share cores. Without, what each thread costs when it is alone on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from burstline.numa.linear_program import Program, has_scipy, waiting
from burstline.numa.problem import Problem

MOST_FLOWS = 80_000  # columns of the relaxation
STEPS = (0, 1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200, 300, 450)  # numbers of threads at which it is tight


@dataclass
class _Kind:
    """Threads alike but for their weight, which is the lines a second that they wait for."""

    nodes: tuple[int, ...]
    members: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)


def lower_bound(problem: Problem, *, seconds: float = 10.0) -> float:
    """Cores; the relaxation with scipy where it is not too large, else that of threads alone."""
    alone = bound_alone(problem)
    kinds = _kinds(problem)
    flows = sum(len(problem.of_thread[kind.members[0]]) for kind in kinds) * problem.nodes**2
    if not has_scipy() or flows > MOST_FLOWS:
        return alone
    return max(alone, _relaxed(problem, kinds, seconds))


def bound_alone(problem: Problem) -> float:
    """Each thread where it waits least, and no more threads sharing a core than must."""
    least = problem.least_stalls
    late = problem.model.overload * float(np.maximum(0.0, problem.busy + least - 1).sum())
    cores = sum(domain.cores for domain in problem.domains)
    shared = 2 * max(0, len(least) - cores)
    return float(least.sum()) + late + float(np.sort(problem.sharing)[:shared].sum())


def _kinds(problem: Problem) -> list[_Kind]:
    found: dict[tuple[object, ...], _Kind] = {}
    own = [{*each} for each in problem.own]
    for t, accesses in enumerate(problem.of_thread):
        weight = sum(problem.demand.accesses[k].lines for k in accesses)
        nodes = tuple(sorted({int(problem.domain_nodes[d]) for d in problem.allowed_domains(t)}))
        parts = []
        for k in accesses:
            access = problem.demand.accesses[k]
            memory = problem.demand.memories[access.memory]
            place = tuple(problem.allowed_nodes(access.memory))
            which = (-1 if access.memory in own[t] else access.memory, memory.port_node, place)
            amounts = (access.lines, access.read, access.written, memory.dma_in, memory.dma_out)
            parts.append((which, tuple(float(f"{amount / weight:.9g}") for amount in amounts) if weight else amounts))
        kind = found.setdefault((nodes, tuple(parts)), _Kind(nodes))
        kind.members.append(t)
        kind.weights.append(weight)
    return list(found.values())


def _relaxed(problem: Problem, kinds: list[_Kind], seconds: float) -> float:
    program = Program()
    loads: list[list[tuple[int, float]]] = [[] for _ in problem.capacity]
    shared = {
        m: {j: program.column(upper=1.0) for j in problem.allowed_nodes(m)}
        for m, users in enumerate(problem.of_memory)
        if len({problem.demand.accesses[k].thread for k in users}) > 1
    }
    for m, each in shared.items():
        program.row([(column, 1.0) for column in each.values()], 1, 1)
        for j, column in each.items():
            for r in np.flatnonzero(problem.dma[m, j]).tolist():
                loads[r].append((column, float(problem.dma[m, j, r])))
    counts: list[dict[int, int]] = []
    for kind in kinds:
        counts.append({i: program.column() for i in kind.nodes})
        program.row([(column, 1.0) for column in counts[-1].values()], len(kind.members), len(kind.members))
        if sum(kind.weights):
            _liquid(problem, program, kind, counts[-1], shared, loads)
    for r, terms in enumerate(loads):
        waiting(problem, program, r, terms)
    _cores(problem, program, kinds, counts)
    late = problem.model.overload * float(np.maximum(0.0, problem.busy + problem.least_stalls - 1).sum())
    return late + program.solve(seconds=seconds).bound


def _liquid(
    problem: Problem,
    program: Program,
    kind: _Kind,
    count: dict[int, int],
    shared: dict[int, dict[int, int]],
    loads: list[list[tuple[int, float]]],
) -> None:
    """Where the weight of a kind is, and that of what it does with memory."""
    # Weights as shares of the kind's: lines a second would drown in the solver's tolerances.
    total, weights = 1.0, [weight / sum(kind.weights) for weight in kind.weights]
    amount = {i: program.column() for i in kind.nodes}
    program.row([(column, 1.0) for column in amount.values()], total, total)
    rising = np.concatenate([[0.0], np.cumsum(sorted(weights))])
    falling = np.concatenate([[0.0], np.cumsum(sorted(weights, reverse=True))])
    for i in kind.nodes:
        for k in STEPS:
            if k < len(weights):  # so many threads weigh at least the lightest, and at most the heaviest, so many
                low, high = rising[k + 1] - rising[k], falling[k + 1] - falling[k]
                program.row([(amount[i], 1.0), (count[i], -low)], rising[k] - low * k)
                program.row([(count[i], high), (amount[i], -1.0)], high * k - falling[k])
    first = kind.members[0]
    for k in problem.of_thread[first]:
        access = problem.demand.accesses[k]
        per, to = weights[0], problem.allowed_nodes(access.memory)
        traffic = problem.traffic(k) / per
        flow = {(i, j): program.column(float(problem.latencies[k][i, j]) / per) for i in kind.nodes for j in to}
        for i in kind.nodes:
            program.row([(flow[i, j], 1.0) for j in to] + [(amount[i], -1.0)], 0, 0)
        dma = np.zeros_like(problem.dma[access.memory])
        if access.memory in shared:
            for j in to:
                program.row([(flow[i, j], 1.0) for i in kind.nodes] + [(shared[access.memory][j], -total)], 0, 0)
        elif k == problem.of_memory[access.memory][0]:
            dma = problem.dma[access.memory] / per
        for (i, j), column in flow.items():
            more = traffic[i, j] + dma[j]
            for r in np.flatnonzero(more).tolist():
                loads[r].append((column, float(more[r])))


def _cores(problem: Problem, program: Program, kinds: list[_Kind], counts: list[dict[int, int]]) -> None:
    """Room on each node, threads that must share cores, and what does not fit into the L3s of a node."""
    extra = []
    for i in range(problem.nodes):
        domains = [domain for domain in problem.domains if domain.node == i]
        here = [(count[i], kind) for kind, count in zip(kinds, counts, strict=True) if i in count]
        if not here:
            continue
        program.row([(column, 1.0) for column, _ in here], 0, sum(domain.room for domain in domains))
        extra.append(program.column())
        cores = sum(domain.cores for domain in domains)
        program.row([(extra[-1], 1.0)] + [(column, -1.0) for column, _ in here], -float(cores))
        size = sum(domain.size for domain in domains)
        if size and all(domain.size for domain in domains):
            over = program.column(1.0)
            least = [(column, -problem.spill * float(problem.hot[kind.members].min())) for column, kind in here]
            program.row([(over, 1.0), *least], -problem.spill * size)
    price = program.column(1.0)
    lightest = np.concatenate([[0.0], np.cumsum(np.sort(problem.sharing))])
    for k in STEPS:
        if k + 1 < len(lightest):
            slope = lightest[k + 1] - lightest[k]
            program.row([(price, 1.0)] + [(column, -2 * slope) for column in extra], lightest[k] - slope * k)
