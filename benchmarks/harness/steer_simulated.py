"""The steering controller on 8 simulated cores, beside plain RSS and RSS++, over all families of traces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from burstline.steering.control.actions import RollBack
from burstline.steering.control.controller import Controller
from burstline.steering.control.flows import Trace
from burstline.steering.control.makespan import improve, largest_first
from burstline.steering.control.outcome import Outcome
from burstline.steering.control.plain import Plain
from burstline.steering.control.rss_plus_plus import RssPlusPlus
from burstline.steering.control.settings import Settings
from burstline.steering.control.simulator import Machine, simulate
from burstline.steering.control.traces import FAMILIES, Family, noisy, zipf

CORES, BUCKETS, HEAVY = 8, 128, 64
SETTLED = 40  # looks
GOAL = 1.05
FULL, QUICK = 8, 1  # seeds
CASES: Mapping[str, Family] = {
    **{f"Zipf {exponent}": partial(zipf, exponent=exponent) for exponent in (0.8, 0.9, 1.0, 1.1, 1.3)},
    "Zipf 0.9, noisy": partial(noisy, exponent=0.9),
    **{name: made for name, made in FAMILIES.items() if name not in ("zipf", "noisy")},
}
STEADY = {name for name in CASES if name.startswith("Zipf") and "noisy" not in name} | {
    "colliding",
    "equal",
    "overload",
}


@dataclass(frozen=True)
class Measured:
    """Of one trace, under each policy in the order plain RSS, RSS++, ours: the mean of the fullest core's load by the
    mean load, the worst of it once settled, packets dropped, the cost in cores times looks, and moves."""

    case: str
    reachable: bool
    mean: tuple[float, ...]
    settled: tuple[float, ...]
    drops: tuple[float, ...]
    cost: tuple[float, ...]
    moves: tuple[int, ...]
    allowed: float  # that ours may cost more than plain RSS


def measure(name: str, seed: int) -> Measured:
    trace = CASES[name](seed, CORES)
    done = outcomes(trace)
    return Measured(
        name,
        name in STEADY and reachable(trace),
        tuple(float(one.imbalance.mean()) for one in done),
        tuple(float(one.imbalance[SETTLED:].max()) for one in done),
        tuple(one.drops for one in done),
        tuple(one.cost for one in done),
        tuple(one.moves for one in done),
        allowed(done[2]),
    )


def allowed(ours: Outcome) -> float:
    """A stake, and twice the worst look: the one at which it was lost, and the one until plain RSS was in force again;
    once for each time that happened, and once more."""
    lost = sum(isinstance(action, RollBack) and "more than its stake" in action.reason for _, action in ours.log)
    steered, plain = ((x.max(axis=1) + np.maximum(x - 1, 0).sum(axis=1)) for x in (ours.loads, ours.plain))
    return (lost + 1) * (Settings().stake + 2 * max(0.0, float((steered - plain).max())))


def outcomes(trace: Trace) -> list[Outcome]:
    return [simulate(policy, trace, Machine(CORES)) for policy in (Plain(), RssPlusPlus(), Controller())]


def measured(*, quick: bool) -> Iterator[Measured]:
    """All cases with all seeds, on as many cores as there are."""
    work = [(name, seed) for name in CASES for seed in range(QUICK if quick else FULL)]
    if quick:
        yield from (measure(*one) for one in work)
        return
    with ProcessPoolExecutor() as pool:
        yield from pool.map(measure, *zip(*work, strict=True))


def reachable(trace: Trace) -> bool:
    """Whether a placement of the heavy flows and the buckets has the fullest core within the goal: one is found, from
    scratch and without regard to moves."""
    rates: Any = trace.rates.mean(axis=0)
    heavy = np.argsort(-rates)[:HEAVY]
    rest = rates.copy()
    rest[heavy] = 0
    weights = np.concatenate([np.bincount(trace.flows.buckets(BUCKETS), rest, minlength=BUCKETS), rates[heavy]])
    free = np.ones(len(weights), bool)
    at = largest_first(weights, np.zeros(len(weights), int), free, CORES, len(weights))
    mean = weights.sum() / CORES
    for step in improve(weights, at, free, CORES, mean):
        for item, core in step.moves:
            at[item] = core
    return float(np.bincount(at, weights, minlength=CORES).max()) <= GOAL * mean
