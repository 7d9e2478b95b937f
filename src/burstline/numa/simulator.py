"""What a placement brings: packets a second that get through, by max-min fairness over cores, links and controllers.

The rates of all workers rise together, as shares of what is offered; when a resource is full, those that use it stay
where they are (progressive filling, Bertsekas and Gallager, Data Networks, 1992, section 6.5.2). It knows nothing of
the planner's penalties: a core has a second for each second, a link its GB/s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from burstline.numa.cost_model import Floats
from burstline.numa.problem import Problem, Spot


@dataclass(frozen=True)
class Throughput:
    """Packets a second of each thread: offered, and what gets through; the use of each resource, 1 is full.
    `lossless` is how many times the offered load gets through without a loss (throughput: RFC 2544 section 26.1)."""

    offered: Floats
    through: Floats
    utilisation: Floats

    lossless: float

    @property
    def total(self) -> float:
        return float(self.through.sum())


def simulate(problem: Problem, spot: Spot) -> Throughput:
    """The fixed point of a machine under the demand's load."""
    offered = np.array([thread.packets for thread in problem.demand.threads])
    works = offered > 0
    use = _use(problem, spot)  # of each resource (column) by each thread, at its whole load
    share = np.zeros(len(offered))
    active = works.copy()
    left = np.ones(use.shape[1])
    while active.any():
        rising = use[active].sum(axis=0)
        rise = 1.0 - float(share[active].max())
        full = rising > 1e-12
        rise = min(rise, float((left[full] / rising[full]).min(initial=1.0)))
        share[active] += rise
        left -= rise * rising
        stuck = use[:, left <= 1e-9].sum(axis=1) > 1e-12
        stopped = active & (stuck | (share >= 1 - 1e-12))
        if not stopped.any():
            break
        active &= ~stopped
    return Throughput(offered, offered * share, 1 - left, 1 / float(use.sum(axis=0).max(initial=1e-12)))


def _use(problem: Problem, spot: Spot) -> Floats:
    """Shares of each link, controller and core that threads would use, were all that is offered handled."""
    nodes = problem.domain_nodes[spot.domains]
    count = len(problem.demand.threads)
    load = np.zeros((count, len(problem.capacity)))
    for k, access in enumerate(problem.demand.accesses):
        i, j = nodes[access.thread], spot.memories[access.memory]
        load[access.thread] += access.read * problem.reading[i, j] + access.written * problem.writing[i, j]
        if k == problem.of_memory[access.memory][0]:
            load[access.thread] += problem.dma[access.memory, j]
    time = problem.busy + problem.stalls(spot)
    for d in range(len(problem.domains)):
        here = [int(t) for t in np.flatnonzero(spot.domains == d)]
        if here:
            time[problem.sharers(d, here)] *= 1 + problem.model.slowdown
            hot = problem.hot[here].sum()
            if hot and problem.domains[d].size:
                time[here] += problem.spill * max(0.0, hot - problem.domains[d].size) * problem.hot[here] / hot
    found: Floats = np.concatenate([load / problem.capacity, np.diag(time)], axis=1)
    return found
