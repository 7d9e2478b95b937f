"""The cheapest placement as a mixed integer linear program, solved by HiGHS (scipy.optimize.milp).

Binary are the L3 domain of each thread and the node of each memory. The product of a thread's and a memory's place is
a flow between them (Adams and Johnson's linearisation of quadratic assignment, 1994): its rows sum to where the thread
is, its columns to where the memory is. All else is convex and linear by pieces: it is the cost of `Problem.cost`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burstline.numa.linear_program import Program, waiting
from burstline.numa.problem import Problem, Spot


@dataclass(frozen=True)
class Solved:
    """`bound` is what no placement costs less than; `spot` is None when time was over before one was found."""

    spot: Spot | None
    bound: float


def solve_exactly(problem: Problem, *, seconds: float = 60.0, gap: float = 1e-4) -> Solved:
    """The cheapest placement, but for `gap` of its cost. Raises BurstlineError without scipy."""
    program = Program()
    threads, memories = _places(problem, program)
    _accesses(problem, program, threads, memories)
    _domains(problem, program, threads)
    found = program.solve(seconds=seconds, gap=gap)
    fixed = problem.model.overload * float(np.maximum(0.0, problem.busy - 1).sum())
    bound = fixed + found.bound
    if found.x is None:
        return Solved(None, bound)
    values = found.x
    domains = np.array([max(each, key=lambda d: values[each[d]]) for each in threads], dtype=np.int64)
    nodes = np.array([max(each, key=lambda j: values[each[j]]) for each in memories], dtype=np.int64)
    return Solved(Spot(domains, nodes), bound)


def _places(problem: Problem, program: Program) -> tuple[list[dict[int, int]], list[dict[int, int]]]:
    """Columns for the domain of each thread and the node of each memory; each is somewhere, and fits."""
    threads = [
        {d: program.column(upper=1, whole=True) for d in problem.allowed_domains(t)}
        for t in range(len(problem.demand.threads))
    ]
    memories = [
        {j: program.column(upper=1, whole=True) for j in problem.allowed_nodes(m)}
        for m in range(len(problem.demand.memories))
    ]
    for each in (*threads, *memories):
        program.row([(column, 1.0) for column in each.values()], 1, 1)
    if problem.sizes.sum() > problem.room.min():
        for j in range(problem.nodes):
            program.row(
                [(each[j], problem.sizes[m]) for m, each in enumerate(memories) if j in each], 0, problem.room[j]
            )
    return threads, memories


def _accesses(
    problem: Problem, program: Program, threads: list[dict[int, int]], memories: list[dict[int, int]]
) -> None:
    """Flows from threads to memories, what they put on each resource, and what threads have no time for."""
    loads: list[list[tuple[int, float]]] = [[] for _ in problem.capacity]
    stalls: list[list[tuple[int, float]]] = [[] for _ in threads]
    for m, each in enumerate(memories):
        for j, column in each.items():
            for r in np.flatnonzero(problem.dma[m, j]).tolist():
                loads[r].append((column, float(problem.dma[m, j, r])))
    for k, access in enumerate(problem.demand.accesses):
        homes: dict[int, list[int]] = {}
        for d, column in threads[access.thread].items():
            homes.setdefault(int(problem.domain_nodes[d]), []).append(column)
        to = memories[access.memory]
        traffic = problem.traffic(k)
        flow: dict[tuple[int, int], int] = {}
        for i in homes:
            for j in to:
                wait = float(problem.latencies[k][i, j])
                flow[i, j] = column = program.column(wait, 1.0)
                stalls[access.thread].append((column, wait))
                for r in np.flatnonzero(traffic[i, j]).tolist():
                    loads[r].append((column, float(traffic[i, j, r])))
        for i, columns in homes.items():
            program.row([(flow[i, j], 1.0) for j in to] + [(column, -1.0) for column in columns], 0, 0)
        for j, column in to.items():
            program.row([(flow[i, j], 1.0) for i in homes] + [(column, -1.0)], 0, 0)
    for r, terms in enumerate(loads):
        waiting(problem, program, r, terms)
    for t, terms in enumerate(stalls):
        # Beyond what it computes too much anyway, which no placement changes.
        late = program.column(problem.model.overload)
        program.row([(late, 1.0)] + [(column, -wait) for column, wait in terms], min(0.0, problem.busy[t] - 1))


def _domains(problem: Problem, program: Program, threads: list[dict[int, int]]) -> None:
    """Room, shared cores and L3, domain by domain; which threads share is left to the program, as to `sharers`."""
    for d, domain in enumerate(problem.domains):
        here = {t: each[d] for t, each in enumerate(threads) if d in each}
        if not here:
            continue
        program.row([(column, 1.0) for column in here.values()], 0, domain.room)
        fixed: dict[int, list[int]] = {}
        for t in here:
            cpu = problem.pins.cpus.get(t)
            if cpu is not None:
                fixed.setdefault(problem.machine.core_of[cpu].number, []).append(t)
        forced = {t for each in fixed.values() if len(each) > 1 for t in each}
        shares = {}
        for t, column in here.items():
            shares[t] = program.column(problem.sharing[t], 1.0)
            if t in forced:
                program.row([(shares[t], 1.0), (column, -1.0)], 0, 0)
            else:
                program.row([(column, 1.0), (shares[t], -1.0)], 0)
        free = domain.cores - len(fixed)
        loose = [column for t, column in here.items() if t not in problem.pins.cpus]
        program.row(
            [(shares[t], 1.0) for t in here if t not in forced] + [(column, -2.0) for column in loose], -2.0 * free
        )
        # One of each pair, at least, is not fixed to a CPU.
        each = [(shares[t], 1.0) for t in here if t not in problem.pins.cpus]
        program.row(each + [(column, -1.0) for column in loose], -float(free))
        if domain.size and problem.spill:
            # In cores, not bytes: a cost of 1e-8 a byte is less than the solver's tolerance.
            over = program.column(1.0)
            terms = [(column, -problem.spill * problem.hot[t]) for t, column in here.items()]
            program.row([(over, 1.0), *terms], -problem.spill * domain.size)
