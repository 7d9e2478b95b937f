"""The part of a demand that a machine can carry.

What a port drops because no core comes to it uses neither links nor memory, so a plan for it would keep room for
traffic that never is. A queue gets no more than one core can do; then all is scaled down to nine tenths of what gets
through.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from burstline.numa.demand import Demand
from burstline.numa.problem import Problem, Spot
from burstline.numa.simulator import simulate

FULL = 0.98  # of a core
ENOUGH = 0.999  # of what is offered
RESERVE = 0.9  # of what gets through is planned for: where all is full, costs tell little of what would carry more


def clipped(problem: Problem) -> Demand:
    """The demand without what a thread could not do even where it waits least."""
    time = problem.busy + problem.least_stalls
    part = np.where(time > FULL, FULL / np.maximum(time, FULL), 1.0).tolist()
    if min(part, default=1.0) == 1.0:
        return problem.demand
    owner = {m: t for t, own in enumerate(problem.own) for m in own}
    demand = problem.demand
    return Demand(
        tuple(replace(t, busy=t.busy * f, packets=t.packets * f) for t, f in zip(demand.threads, part, strict=True)),
        tuple(
            replace(m, dma_in=m.dma_in * part[owner[k]], dma_out=m.dma_out * part[owner[k]]) if k in owner else m
            for k, m in enumerate(demand.memories)
        ),
        tuple(
            replace(a, lines=a.lines * part[a.thread], read=a.read * part[a.thread], written=a.written * part[a.thread])
            for a in demand.accesses
        ),
    )


def carried(problem: Problem, spot: Spot) -> float:
    """The share of its packets that a placement gets through; 1 where that is all but rounding."""
    found = simulate(problem, spot)
    offered = float(found.offered.sum())
    share = found.total / offered if offered else 1.0
    return 1.0 if share >= ENOUGH else share
