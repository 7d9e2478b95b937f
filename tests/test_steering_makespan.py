"""Placing items on cores: near the optimum that trying everything finds, by steps none of which makes it worse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.steering.control.makespan import Step, bound, improve, largest_first


def after(steps: list[Step], at: Any) -> Any:
    at = np.array(at)
    for step in steps:
        for item, core in step.moves:
            at[item] = core
    return at


def fullest(weights: Any, at: Any, cores: int) -> float:
    return float(np.bincount(at, weights, minlength=cores).max())


def optimum(weights: Any, cores: int) -> float:
    """By trying all placements."""
    return min(fullest(weights, np.array(at), cores) for at in itertools.product(range(cores), repeat=len(weights)))


small = st.integers(2, 3).flatmap(
    lambda cores: st.tuples(
        st.just(cores),
        st.lists(st.tuples(st.integers(0, 100), st.integers(0, cores - 1)), min_size=1, max_size=7),
    )
)


@settings(max_examples=100, deadline=None)
@given(small)
def test_it_is_near_the_optimum_and_no_bound_is_above_it(case: tuple[int, list[tuple[int, int]]]) -> None:
    """4/3 is what LPT guarantees; the search starts from where items are and from there, as the controller does."""
    cores, items = case
    weights, at = np.array([w for w, _ in items], float), np.array([c for _, c in items])
    movable = np.ones(len(items), bool)
    best = optimum(weights, cores)
    assert bound(weights, cores) <= best + 1e-9
    found = fullest(weights, after(improve(weights, at, movable, cores, 0.0), at), cores)
    scratch = largest_first(weights, at, movable, cores, len(weights))
    assert min(found, fullest(weights, scratch, cores)) <= best * 4 / 3 + 1e-9


@settings(max_examples=100, deadline=None)
@given(small, st.data())
def test_no_first_part_of_the_steps_is_worse_than_none_and_what_is_fixed_stays(
    case: tuple[int, list[tuple[int, int]]], data: st.DataObject
) -> None:
    cores, items = case
    weights, at = np.array([w for w, _ in items], float), np.array([c for _, c in items])
    movable = np.array(data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items))))
    open_to = np.array(data.draw(st.lists(st.booleans(), min_size=cores, max_size=cores)))
    steps = improve(weights, at, movable, cores, 0.0, open_to=open_to)
    before = fullest(weights, at, cores)
    for count in range(len(steps) + 1):
        now = after(steps[:count], at)
        assert fullest(weights, now, cores) <= before + 1e-9
        assert (now[~movable] == at[~movable]).all()
        changed = now[now != at]
        assert open_to[changed].all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), flows=st.integers(0, 12))
def test_within_five_percent_where_the_largest_item_allows_it(seed: int, flows: int) -> None:
    """128 buckets and some flows on 8 cores, none larger than the mean."""
    chance = np.random.default_rng(seed)
    weights = np.concatenate([chance.exponential(1.0, 128), chance.uniform(1, 12, flows)])
    at = np.arange(len(weights)) % 8
    mean = weights.sum() / 8
    weights = np.minimum(weights, mean)
    mean = weights.sum() / 8
    steps = improve(weights, at, np.ones(len(weights), bool), 8, 1.01 * mean)
    assert weights.max() <= 1.05 * mean
    assert fullest(weights, after(steps, at), 8) <= 1.05 * mean
    moved = int((after(steps, at) != at).sum())
    assert moved <= 40, "a few moves, not a new placement"


def test_two_heavy_items_of_one_core_need_one_move() -> None:
    weights = np.array([10.0, 10.0, 1.0, 1.0])
    steps = improve(weights, np.array([0, 0, 0, 1]), np.ones(4, bool), 2, 11.0)
    assert [step.moves for step in steps] == [((0, 1),)]


def test_a_swap_is_found_where_no_single_move_helps() -> None:
    weights = np.array([6.0, 5.0, 5.0, 4.0])  # 11 and 9: only 6 for 5 evens them
    steps = improve(weights, np.array([0, 0, 1, 1]), np.ones(4, bool), 2, 10.0)
    assert fullest(weights, after(steps, np.array([0, 0, 1, 1])), 2) == 10.0
    assert len(steps) == 1 and len(steps[0].moves) == 2
