"""What plans cost beside the cheapest ones, how long they take, and what gets through beside the usual placements."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.harness.plan_instances import NO_PINS, large_instance, random_instance, skewed_instance
from burstline.numa.exact import solve_exactly
from burstline.numa.plan import Plan, make_plan
from burstline.numa.problem import Problem, Spot
from burstline.numa.simulator import simulate
from burstline.numa.usual import by_hops, round_robin

MACHINES = (
    "xeon-e5-4650-4s-ring", "xeon-8180-4s-mesh", "kunpeng-920-2s", "epyc-9654-1s-nps4", "opteron-6276-4s",
    "xeon-8180-8s", "epyc-7763-2s-nps4", "xeon-8480-2s-snc4", "superdome-flex-8s", "superdome-flex-16s",
)  # fmt: skip
# What each worker's memory is in turn, too: an application that asks for no node, whose pages come from whichever.
USUAL: dict[str, Callable[[Problem], Spot]] = {
    "by hops": by_hops,
    "round robin, memory beside": round_robin,
    "round robin of all": lambda problem: round_robin(problem, beside=False),
}


@dataclass(frozen=True)
class Above:
    """A plan by search: what it costs above the least that there is, as a share; `closed` tells that this is known, not
    only bounded."""

    name: str
    nodes: int
    share: float
    closed: bool


def above_optimum(seeds: range, *, seconds: float = 60.0) -> Iterator[Above]:
    """Random machines; where HiGHS runs out of time, the bound that it has proved counts as the least."""
    for seed in seeds:
        made = random_instance(seed)
        plan = make_plan(made.machine, made.demand, method="search", seconds=2.0)
        solved = solve_exactly(plan.problem, seconds=seconds)
        optimum = plan.problem.cost(solved.spot).total if solved.spot is not None else float("inf")
        closed = optimum - solved.bound <= 2e-4 * optimum
        least = optimum if closed else max(solved.bound, plan.bound)
        share = max(0.0, plan.cost.total / least - 1) if least > 1e-9 else 0.0
        yield Above(made.name, len(made.machine.nodes), share, closed)


def timed(nodes: int, cores: int, queues: int) -> tuple[float, Plan]:
    """Seconds that a plan for a large machine takes, with its bound."""
    made = large_instance(nodes, cores, queues)
    start = time.perf_counter()
    plan = make_plan(made.machine, made.demand)
    return time.perf_counter() - start, plan


@dataclass(frozen=True)
class Carried:
    """Packets a second that get through: by the plan, and by each usual placement; and the part of all that is."""

    machine: str
    ours: float
    theirs: dict[str, float]
    share: float


def carried(machine: str, seed: int) -> Carried:
    """One trace of skewed traffic on a machine of the corpus; each placement is simulated under all of it."""
    made = skewed_instance(machine, seed)
    plan = make_plan(made.machine, made.demand, method="search", seconds=2.0)
    problem = Problem(made.machine, made.demand, NO_PINS)
    ours = simulate(problem, plan.spot)
    theirs = {name: simulate(problem, place(problem)).total for name, place in USUAL.items()}
    return Carried(machine, ours.total, theirs, ours.total / float(ours.offered.sum()))
