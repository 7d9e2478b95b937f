"""Steering against plain RSS: never worse by more than the stake and one reaction, whatever comes, on any trace."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burstline.steering.control.actions import RollBack
from burstline.steering.control.controller import Controller
from burstline.steering.control.flows import Trace, made_flows
from burstline.steering.control.outcome import Outcome, cost_of
from burstline.steering.control.plain import Plain
from burstline.steering.control.rss_plus_plus import RssPlusPlus
from burstline.steering.control.settings import Settings
from burstline.steering.control.simulated_port import PortLimits
from burstline.steering.control.simulator import Machine, play, simulate
from burstline.steering.control.traces import CAPACITY, FAMILIES, STEP, joined

STAKE = Settings().stake
STEADY = ("zipf", "noisy", "colliding", "equal", "giant", "overload")


def costs(loads: Any) -> Any:
    """Of each epoch."""
    return loads.max(axis=1) + np.maximum(loads - 1, 0).sum(axis=1)


def allowed(outcome: Outcome) -> float:
    """The bound: for each time that steering ended for a lost stake, and for the time after the last, a stake, and two
    looks as bad as the worst: the one at which it was lost, and the one in which the roll-back became effective."""
    lost = sum(isinstance(a, RollBack) and "more than its stake" in a.reason for _, a in outcome.log)
    worst = float((costs(outcome.loads) - costs(outcome.plain)).max())
    return (lost + 1) * (STAKE + 2 * max(0.0, worst))


def compare(trace: Trace, machine: Machine | None = None) -> tuple[Outcome, Outcome]:
    ours, plain = simulate(Controller(), trace, machine), simulate(Plain(), trace, machine)
    assert np.allclose(plain.loads, ours.plain), "what is compared with is plain RSS indeed"
    return ours, plain


@pytest.mark.parametrize("family", STEADY)
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), cores=st.sampled_from([2, 4, 8]))
def test_where_traffic_stays_as_it_is_plain_rss_is_never_better(family: str, seed: int, cores: int) -> None:
    """In load and in drops, over the whole trace, moves and all."""
    ours, plain = compare(FAMILIES[family](seed, cores, 60), Machine(cores))
    assert ours.cost <= plain.cost + 1e-9
    assert ours.drops <= plain.drops + 1e-6
    assert ours.imbalance.mean() <= plain.imbalance.mean() + 1e-9


@pytest.mark.parametrize("family", sorted(FAMILIES))
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_family_loses_one_percent(family: str, seed: int) -> None:
    ours, plain = compare(FAMILIES[family](seed))
    assert ours.cost - plain.cost <= allowed(ours)
    assert ours.cost <= 1.01 * plain.cost
    assert ours.imbalance.mean() <= 1.02 * plain.imbalance.mean()


def test_the_measure_tells_a_policy_that_is_worse() -> None:
    """RSS++ follows mice that are gone by then."""
    trace = FAMILIES["mice"](0)
    assert simulate(RssPlusPlus(), trace).cost > 1.01 * simulate(Plain(), trace).cost


parts = st.lists(
    st.tuples(st.sampled_from(sorted(FAMILIES)), st.integers(0, 10_000), st.integers(2, 40)), min_size=1, max_size=5
)
limits = st.builds(
    PortLimits,
    exact=st.sampled_from([0, 3, 4096]),
    updates=st.sampled_from([50.0, 1000.0, 10_000.0]),
    latency=st.sampled_from([0.0, 0.001, 0.03]),
    rules_a_flow=st.sampled_from([1, 2]),
    fails=st.sampled_from([0.0, 0.1]),
)


@settings(max_examples=25, deadline=None)
@given(parts=parts)
def test_nor_does_any_trace_made_of_them(parts: list[tuple[str, int, int]]) -> None:
    """Each for a time too short to learn from, then another."""
    made = [FAMILIES[name](seed, 8, epochs) for name, seed, epochs in parts]
    ours, plain = compare(joined("parts", made))
    assert ours.cost - plain.cost <= allowed(ours)


@example(flows=6, epochs=21, seed=6, held=6, scale=0.5)  # a flow is gone before its core is cleared for it
@settings(max_examples=25, deadline=None)
@given(
    flows=st.integers(1, 40), epochs=st.integers(1, 40), seed=st.integers(0, 10_000), held=st.integers(1, 12),
    scale=st.sampled_from([0.1, 0.5, 2.0]),
)  # fmt: skip
def test_nor_do_rates_that_follow_no_law(flows: int, epochs: int, seed: int, held: int, scale: float) -> None:
    """Each flow has any rate, for up to `held` epochs."""
    chance = np.random.default_rng(seed)
    rates = np.zeros((epochs, flows))
    for flow in range(flows):
        at = 0
        while at < epochs:
            lasts = int(chance.integers(1, held + 1))
            rates[at : at + lasts, flow] = chance.choice([0, 1, 1, 20]) * chance.random() * scale * CAPACITY / 5
            at += lasts
    ours, plain = compare(Trace("any", made_flows(flows, seed), rates))
    assert ours.cost - plain.cost <= allowed(ours)


class Adversary:
    """Knows where each flow goes. As long as nothing is steered it baits: flows that plain RSS crowds on one core. When
    something is, it sends what plain RSS spreads best of what one core has now."""

    def __init__(self, cores: int) -> None:
        self.cores, self.flows = cores, made_flows(512, 7)
        self.home = self.flows.buckets(128) % cores
        self.load = 0.9 * CAPACITY

    def __call__(self, epoch: int, cores: Any) -> Any:
        rates = np.zeros(len(self.flows))
        if (cores == self.home).all():
            rates[np.flatnonzero(self.home == epoch // 40 % self.cores)[: self.cores]] = self.load / self.cores
            return rates
        best: list[int] = []
        for core in range(self.cores):
            there = np.flatnonzero(cores == core)
            _, first = np.unique(self.home[there], return_index=True)
            best = max(best, there[first].tolist(), key=len)
        rates[best] = self.load / len(best)
        return rates


@pytest.mark.parametrize("epochs", [200, 800, 3200])
def test_an_adversary_that_knows_all_places_wins_no_more_than_the_bound(epochs: int) -> None:
    """Stakes can be lost as often as the time between can be doubled, so that loss a look goes to nothing."""
    adversary = Adversary(8)
    ours = play(Controller(), adversary.flows, adversary, epochs, STEP)
    assert any(isinstance(action, RollBack) for _, action in ours.log), "it does fool the controller"
    loss = ours.cost - cost_of(ours.plain)
    stakes = 1 + math.log2(1 + epochs * STEP / Settings().calm)
    assert loss <= stakes * (STAKE + 2 * 0.9)  # all packets on one core cost 0.9
    assert loss <= allowed(ours)


@settings(max_examples=15, deadline=None)
@given(limits=limits, family=st.sampled_from(sorted(FAMILIES)), seed=st.integers(0, 10_000))
def test_devices_that_are_slow_small_or_fail_make_it_no_worse(limits: PortLimits, family: str, seed: int) -> None:
    """A roll-back takes longer where rules do, and the loss until then more looks."""
    trace = FAMILIES[family](seed, 8, 60)
    ours = simulate(Controller(), trace, Machine(port=limits), seed=seed)
    worst = float((costs(ours.loads) - costs(ours.plain)).max())
    looks = 2 + math.ceil(limits.latency / STEP) + math.ceil(2 * ours.moves / (0.5 * limits.updates * STEP))
    assert ours.cost - cost_of(ours.plain) <= 2 * (STAKE + looks * max(0.0, worst))
