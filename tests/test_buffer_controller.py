"""The policy by which pools grow and shrink: its limits and its calm, and whole loads against a pool of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.harness.loads import diurnal, ramps, self_similar
from burstline.buffers.controller import Controller, Seen, Settings, controller, reserves
from burstline.buffers.magazine import ROUNDS

HORIZON, DELAY = 4, 3  # ticks: what the policy is told that growing takes, and what it takes
FIRST = 600  # ticks in which there was a ramp
SCALE = 8  # of the loads


@dataclass
class Done:
    """By tick: what was asked for in vain, and what there was."""

    failed: Any
    usable: Any
    changes: list[int]


def run(load: Any, policy: Controller, usable: int, *, delay: int = DELAY, stranded: int = 0) -> Done:
    """A pool of numbers: growing takes effect after `delay` ticks, in which the policy, which waits for it, sees
    nothing; giving back is done at once. For ticks that it missed it gets what it sees at the next, as in the engine's
    thread."""
    failed, there, changes = np.zeros(len(load), int), np.zeros(len(load), int), []
    ever, looked, busy, coming = 0, -1, 0, 0
    for tick, wanted in enumerate(map(int, load)):
        if tick == busy:
            usable, coming = usable + coming, 0
        in_use = min(wanted, usable - stranded)
        failed[tick] = wanted - in_use
        ever += failed[tick]
        there[tick] = usable
        if tick < busy:
            continue
        seen = Seen(in_use, in_use, stranded, usable, ever)
        for _ in range(tick - looked):
            change, policy = policy.decide(seen)
        looked = tick
        changes.append(change)
        if change > 0:
            busy, coming = tick + delay, change
        elif change < 0:
            assert usable + change >= in_use + stranded, "what is in use stays"
            usable += change
    return Done(failed, there, changes)


def made() -> Controller:
    return controller(Settings(least=1000, most=200_000, horizon=HORIZON))


@pytest.mark.parametrize(
    ("load", "delay"),
    [(ramps(4000), DELAY), (ramps(4000, seed=21), 1), (diurnal(4000), 1), (self_similar(4000), DELAY)],
    ids=["ramps, slow memory", "ramps", "diurnal, flash crowds", "self-similar, slow memory"],
)
def test_nothing_fails_after_the_first_ramp_where_a_static_pool_of_as_much_memory_fails(load: Any, delay: int) -> None:
    load = np.round(SCALE * load)
    done = run(load, made(), 8000, delay=delay)
    assert done.failed[FIRST:].sum() == 0
    static = done.usable[FIRST:].mean()
    assert static < 0.95 * load.max()
    assert np.maximum(0, load[FIRST:] - static).sum() > 0


@settings(max_examples=8, deadline=None)
@given(level=st.integers(0, 100_000), noise=st.sampled_from([0.0, 0.001, 0.003]), seed=st.integers(0, 99))
def test_under_a_load_that_stays_a_pool_stays(level: int, noise: float, seed: int) -> None:
    """It finds its size, and does not grow and shrink in turn."""
    load = np.round(level * np.random.default_rng(seed).normal(1, noise, 300)).clip(0)
    done = run(load, made(), 1000)
    late = done.changes[-150:]
    assert sum(change < 0 for change in late) <= 1, "memory that went back is not soon needed again"
    assert sum(map(abs, late)) <= 0.04 * level + 2 * ROUNDS
    if noise == 0:
        assert set(late) == {0}


@settings(max_examples=20, deadline=None)
@given(
    load=st.lists(st.tuples(st.integers(1, 30), st.integers(0, 60_000)), min_size=1, max_size=12),
    least=st.integers(0, 3000),
    room=st.integers(0, 40_000),
)
def test_limits_hold_and_what_is_in_use_stays(load: list[tuple[int, int]], least: int, room: int) -> None:
    """Whatever comes, more than the most included; `run` checks that nothing in use is given back."""
    steps = np.concatenate([np.full(ticks, level) for ticks, level in load])
    policy = controller(Settings(least, least + room, HORIZON, dwell=5))
    done = run(steps, policy, least)
    assert (done.usable >= least).all() and (done.usable <= least + room).all()


@settings(max_examples=15, deadline=None)
@given(stranded=st.integers(0, 5000), level=st.integers(1000, 50_000))
def test_buffers_that_lie_in_caches_are_not_counted_on(stranded: int, level: int) -> None:
    load = np.full(60, level)
    done = run(load, made(), stranded + 1000, stranded=stranded)
    assert done.failed[20:].sum() == 0
    assert done.usable[-1] >= level + stranded


def test_memory_goes_back_after_the_dwell_and_not_before() -> None:
    few = Settings(least=100, most=10**6, horizon=HORIZON, dwell=25)
    policy, usable, when = controller(few), 50_000, []
    for tick in range(40):
        change, policy = policy.decide(Seen(1000, 1000, 0, usable, 0))
        usable += change
        if change:
            when.append(tick)
    assert when == [24]
    assert 1000 < usable < 2000


def test_a_small_surplus_is_left_where_it_is() -> None:
    calm = Settings(least=0, most=10**6, horizon=HORIZON, dwell=3, band=0.1)
    policy = controller(calm)
    for _ in range(20):
        change, policy = policy.decide(Seen(10_000, 10_000, 0, 11_200, 0))
        assert change == 0  # less than a tenth above what is needed


def test_what_failed_counts_as_load_once() -> None:
    policy = controller(Settings(least=0, most=10**6, horizon=HORIZON))
    _, once = policy.decide(Seen(1000, 1000, 0, 1000, 700))
    assert once.forecaster.season.now == 1700
    _, twice = once.decide(Seen(1000, 1000, 0, 1000, 700))
    assert twice.forecaster.season.now == 1000


def test_the_peak_between_two_looks_counts() -> None:
    policy = controller(Settings(least=0, most=10**6, horizon=HORIZON))
    change, _ = policy.decide(Seen(1000, 5000, 0, 5000, 0))
    assert change > 0
    assert policy == replace(policy)  # which is as it was


def test_a_pool_whose_least_is_its_most_is_static() -> None:
    load = np.round(SCALE * ramps(1000))
    done = run(load, controller(Settings(20_000, 20_000, HORIZON)), 20_000)
    assert set(done.changes) == {0} and set(done.usable) == {20_000}
    assert done.failed.sum() == np.maximum(0, load - 20_000).sum() > 0


def test_a_pool_grows_ahead_of_a_ramp_that_it_knows() -> None:
    """What a ramp will need is there while the load is still at its foot, and goes back between ramps."""
    load = np.round(SCALE * ramps(4000))
    done = run(load, made(), 8000, delay=1)
    up = np.flatnonzero((load[1:] > 12_000) & (load[:-1] <= 12_000)) + 1
    feet = [foot for foot in up if foot > 2000 and load[foot : foot + 12].max() > 60_000]
    assert len(feet) >= 4
    for foot in feet:
        assert done.usable[foot] >= 0.9 * load[foot : foot + 12].max()
        assert done.usable[foot - 100] < 0.5 * load[foot : foot + 12].max()


@settings(max_examples=100, deadline=None)
@given(
    cores=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3)), min_size=1, max_size=8),
    free=st.integers(0, 10_000),
    rounds=st.integers(8, ROUNDS),
)
def test_reserves_are_filled_by_what_cores_are_expected_to_take_and_never_beyond_half_of_what_is_free(
    cores: list[tuple[int, int]], free: int, rounds: int
) -> None:
    expected, held = zip(*cores, strict=True)
    given_out = reserves(expected, held, free, rounds)
    assert len(given_out) == len(cores)
    assert 2 * rounds * sum(given_out) <= free
    for (buffers, has), more in zip(cores, given_out, strict=True):
        assert 0 <= more <= 2
        assert more == 0 or (has + more - 1) * rounds < buffers
        assert free < 4 * rounds * len(cores) or has + more >= min(2, -(-buffers // rounds))


def test_what_a_pool_keeps_beside_its_load_is_one_magazine_as_its_magazines_are() -> None:
    def target(rounds: int) -> int:
        policy = controller(Settings(least=0, most=10**6, horizon=HORIZON, spare=0, rounds=rounds))
        return policy.decide(Seen(1000, 1000, 0, 0, 0))[0]

    assert target(264) - target(64) == 200


def test_what_is_expected_of_a_tick_was_said_a_horizon_before_it() -> None:
    policy, said = made(), []
    for tick in range(40):
        said.append(policy.forecaster.ahead())
        assert policy.expected == (round(said[tick - HORIZON + 1]) if tick >= HORIZON else -1)
        _, policy = policy.decide(Seen(1000 + 50 * tick, 1000 + 50 * tick, 0, 10_000, 0))
