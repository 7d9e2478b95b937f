"""The plan: a CPU for each thread, a node for each memory, what that costs, and what nothing costs less than."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burstline.errors import UsageError
from burstline.numa.attainable import RESERVE, carried, clipped
from burstline.numa.bound import lower_bound
from burstline.numa.cores import cpus_of
from burstline.numa.cost_model import CostModel
from burstline.numa.demand import Demand, scaled
from burstline.numa.exact import solve_exactly
from burstline.numa.linear_program import has_scipy
from burstline.numa.pins import Pin, resolve
from burstline.numa.problem import Cost, Problem, Spot
from burstline.numa.search import search
from burstline.numa.topology import Topology

METHODS = ("auto", "exact", "search")
SMALL = 4_000  # pairs of places of threads and memories, over all accesses, up to which `auto` solves exactly
GAP = 1e-4  # of the cost: how near HiGHS goes
AN_HOUR = 3600.0


@dataclass(frozen=True)
class Plan:
    """`cpus` by thread and `nodes` (numbers) by memory, in the demand's order; `bound` is cores. `carried` is the share
    of the packets asked for that get through; where that is less than 1, costs are those of nine tenths of them."""

    problem: Problem
    spot: Spot
    cpus: tuple[int, ...]
    cost: Cost
    bound: float
    method: Literal["exact", "search"]
    carried: float
    seconds: float

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(self.problem.machine.nodes[j].number for j in self.spot.memories)

    @property
    def thread_nodes(self) -> tuple[int, ...]:
        return tuple(self.problem.machine.core_of[cpu].node for cpu in self.cpus)

    @property
    def gap(self) -> float:
        """By what share the cost may be above the least that there is."""
        return max(0.0, self.cost.total / self.bound - 1) if self.bound > 0 else 0.0


def make_plan(
    machine: Topology,
    demand: Demand,
    pins: Sequence[Pin] = (),
    *,
    method: Literal["auto", "exact", "search"] = "auto",
    seconds: float = 2.0,
    seed: int = 1,
    model: CostModel | None = None,
    bounded: bool = True,
) -> Plan:
    """The best plan that is found. `exact` takes as long as it takes (up to an hour), `search` about `seconds`, `auto`
    solves what is small exactly; not `bounded`, the bound is 0, which takes no time. Raises UsageError for what has no
    place, BurstlineError where scipy is missing."""
    started = time.monotonic()
    if not demand.threads:
        raise UsageError("there is no thread to place", "give at least one worker")
    fixed = resolve(pins, machine, demand)
    asked = Problem(machine, demand, fixed, model)
    problem = Problem(machine, clipped(asked), fixed, model)
    spot = search(problem, seconds=seconds * 0.35, seed=seed)
    if not problem.fits(spot):
        raise UsageError(
            f"no node of {machine.name} has room for some table or pool beside the others", "make the tables smaller"
        )
    share = carried(problem, spot)
    if share < 1:
        problem = Problem(machine, scaled(problem.demand, RESERVE * share), fixed, model)
        spot = search(problem, seconds=seconds * 0.35, seed=seed, start=spot)
    bound = lower_bound(problem) if bounded else 0.0
    done: Literal["exact", "search"] = "search"
    if method == "exact" or (method == "auto" and has_scipy() and flows(problem) <= SMALL):
        spot, bound = solved(problem, spot, bound, AN_HOUR if method == "exact" else max(10.0, 5 * seconds))
        done = "exact" if problem.cost(spot).total <= bound * (1 + 2 * GAP) + 1e-9 else "search"
    return Plan(
        problem, spot, tuple(cpus_of(problem, spot)), problem.cost(spot), bound, done,
        carried(asked, spot), time.monotonic() - started,
    )  # fmt: skip


def solved(problem: Problem, spot: Spot, bound: float, seconds: float) -> tuple[Spot, float]:
    """The cheaper of a placement and of the one that HiGHS finds, and the higher bound."""
    found = solve_exactly(problem, seconds=seconds, gap=GAP)
    if found.spot is not None and problem.cost(found.spot).total < problem.cost(spot).total:
        spot = found.spot
    return spot, max(bound, found.bound)


def flows(problem: Problem) -> int:
    """How many pairs of places an exact solution weighs."""
    return len(problem.demand.accesses) * problem.nodes**2
