"""A linear program, some of whose columns may be whole numbers, as it is written down; HiGHS solves it (scipy)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from burstline.errors import BurstlineError
from burstline.numa.cost_model import Floats
from burstline.numa.problem import Problem

INFINITE = float("inf")


@dataclass(frozen=True)
class Solution:
    """`bound` is what no solution costs less than; `x` is None when time was over before one was found."""

    x: Floats | None
    bound: float


@dataclass
class Program:
    """Columns and rows as they are added."""

    costs: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    least: list[float] = field(default_factory=list)
    most: list[float] = field(default_factory=list)

    def column(self, cost: float = 0.0, upper: float = INFINITE, whole: bool = False) -> int:
        self.costs.append(cost)
        self.upper.append(upper)
        self.whole.append(int(whole))
        return len(self.costs) - 1

    def row(self, terms: list[tuple[int, float]], least: float, most: float = INFINITE) -> None:
        """`least` <= sum of column times value <= `most`."""
        for column, value in terms:
            self.rows.append(len(self.least))
            self.columns.append(column)
            self.values.append(value)
        self.least.append(least)
        self.most.append(most)

    def solve(self, *, seconds: float, gap: float = 0.0) -> Solution:
        """Least cost. Raises BurstlineError without scipy."""
        optimize, sparse = scipy_parts()
        matrix = sparse.csr_array((self.values, (self.rows, self.columns)), shape=(len(self.least), len(self.costs)))
        found = optimize.milp(
            np.array(self.costs),
            integrality=np.array(self.whole),
            bounds=optimize.Bounds(0.0, np.array(self.upper)),
            constraints=optimize.LinearConstraint(matrix, np.array(self.least), np.array(self.most)),
            options={"time_limit": seconds, "mip_rel_gap": gap},
        )
        if any(self.whole):
            return Solution(found.x, float(found.mip_dual_bound or 0.0))
        return Solution(found.x, float(found.fun) if found.status == 0 else 0.0)


def waiting(problem: Problem, program: Program, resource: int, terms: list[tuple[int, float]]) -> None:
    """The cost of a resource, of which `terms` are columns by the GB/s that each puts on it."""
    if not terms:
        return
    waits = program.column(1.0)
    for slope, value in problem.model.tangents:
        part = slope / problem.capacity[resource]
        program.row([(waits, 1.0)] + [(column, -part * load) for column, load in terms], value)


def scipy_parts() -> tuple[Any, Any]:
    """scipy's optimize and sparse. Raises BurstlineError where it is missing."""
    try:
        from scipy import optimize, sparse
    except ImportError as error:
        raise BurstlineError(
            "the exact planner and the close bound need scipy", "install it: pip install 'burstline[plan]'"
        ) from error
    return optimize, sparse


def has_scipy() -> bool:
    from importlib.util import find_spec

    return find_spec("scipy") is not None
