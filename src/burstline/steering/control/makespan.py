"""Items on cores, so that the fullest core has little more than the mean, and few items move.

The exact problem is NP-hard (multiprocessor scheduling). This is local search from where the items are: the fullest
core gives the item to the emptiest that evens the two best, or swaps with any core where that does more (R. L. Graham,
"Bounds on multiprocessing timing anomalies", 1969, for the greedy rule; D. P. Friesen and M. A. Langston for
exchanges). Each step lowers the fuller core of its pair below what the fullest was, so that any first part of the steps
is no worse than none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

LEAST = 1e-3  # of the mean: a step that brings less is none


@dataclass(frozen=True)
class Step:
    """Moves that go together: items and their cores; one item, or two that change places."""

    moves: tuple[tuple[int, int], ...]


def improve(weights: Any, at: Any, movable: Any, cores: int, target: float, *, open_to: Any = None) -> list[Step]:
    """Steps until no core has more than `target`, or none helps. `at` is the core of each item; only to the cores of
    `open_to` (all, when it is None) something moves."""
    at = np.array(at)
    loads = np.bincount(at, weights, minlength=cores).astype(float)
    allowed = np.ones(cores, bool) if open_to is None else np.asarray(open_to, bool)
    least = LEAST * float(loads.mean())
    steps: list[Step] = []
    for _ in range(4 * len(weights)):
        top = int(loads.argmax())
        if loads[top] <= target or not allowed.any():
            break
        gain, step = _single(weights, at, movable, loads, top, allowed)
        if step is None or loads[top] - gain > target:
            more, swap = _swap(weights, at, movable, loads, top, allowed)
            if swap is not None and more > 1.5 * gain:
                gain, step = more, swap
        if step is None or gain < least:
            break
        for item, core in step.moves:
            loads[at[item]] -= weights[item]
            loads[core] += weights[item]
            at[item] = core
        steps.append(step)
    return steps


def _single(weights: Any, at: Any, movable: Any, loads: Any, top: int, allowed: Any) -> tuple[float, Step | None]:
    """By how much the best move of one item lowers the fuller one of both cores."""
    to = int(np.where(allowed, loads, np.inf).argmin())
    gap = loads[top] - loads[to]
    among = np.flatnonzero((at == top) & movable & (weights > 0) & (weights < gap))
    if to == top or not len(among):
        return 0.0, None
    gains = np.minimum(weights[among], gap - weights[among])
    best = int(gains.argmax())
    return float(gains[best]), Step(((int(among[best]), to),))


def _swap(weights: Any, at: Any, movable: Any, loads: Any, top: int, allowed: Any) -> tuple[float, Step | None]:
    """The same of two items that change places."""
    found: tuple[float, Step | None] = (0.0, None)
    ours = np.flatnonzero((at == top) & movable)
    if not len(ours) or not allowed[top]:
        return found
    for other in np.flatnonzero(allowed):
        gap = loads[top] - loads[other]
        theirs = np.flatnonzero((at == other) & movable)
        if other == top or gap <= 0 or not len(theirs):
            continue
        theirs = theirs[np.argsort(weights[theirs], kind="stable")]
        near = np.searchsorted(weights[theirs], weights[ours] - gap / 2)
        for k in (near - 1, near):
            partner = theirs[k.clip(0, len(theirs) - 1)]
            difference = weights[ours] - weights[partner]
            gains = np.minimum(difference, gap - difference)
            best = int(gains.argmax())
            if gains[best] > found[0]:
                moves = ((int(ours[best]), int(other)), (int(partner[best]), top))
                found = (float(gains[best]), Step(moves))
    return found


def largest_first(weights: Any, at: Any, movable: Any, cores: int, most: int) -> Any:
    """The cores of all items when the `most` largest movable ones are taken off and put, largest first, on the emptiest
    core (LPT, 4/3 of the optimum at most), each where it was when that core is as good."""
    at = np.array(at)
    order = np.argsort(-weights, kind="stable")
    chosen = order[movable[order]][:most]
    loads = np.bincount(at, weights, minlength=cores).astype(float)
    loads -= np.bincount(at[chosen], weights[chosen], minlength=cores)
    for item in chosen:
        low = int(loads.argmin())
        if loads[at[item]] > loads[low] + 1e-9 * weights[item]:
            at[item] = low
        loads[at[item]] += weights[item]
    return at


def bound(weights: Any, cores: int) -> float:
    """No placement has a lower fullest core: the mean, the largest item, and the two largest of one core where there
    are more items than cores."""
    largest = np.sort(weights)[::-1][: cores + 1]
    pair = float(largest[cores - 1] + largest[cores]) if len(largest) > cores else 0.0
    return max(float(weights.sum()) / cores, float(largest[0]) if len(largest) else 0.0, pair)
