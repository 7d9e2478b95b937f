"""Connections that begin are placed by load: empty buckets leave full cores, and nothing else moves for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.steering.control.actions import Action, MoveBucket, RollBack
from burstline.steering.control.controller import Controller
from burstline.steering.control.demand import steering_of
from burstline.steering.control.flows import Trace, made_flows
from burstline.steering.control.memory import Memory
from burstline.steering.control.new_connections import place_new
from burstline.steering.control.settings import Settings
from burstline.steering.control.simulated_port import PortLimits
from burstline.steering.control.simulator import Machine, simulate
from burstline.steering.control.snapshot import Core, Device, Failure, HeavyFlow, Pending, Snapshot
from burstline.steering.control.traces import CAPACITY, FAMILIES, STEP
from burstline.steering.control.upkeep import looked

PLACES = Settings(new_connections=True)
PORT = PortLimits(exact=0, reta=512)


@dataclass(frozen=True)
class OnlyNew:
    """The policy that does this and nothing else."""

    settings: Settings = PLACES
    name: str = "only new"

    def start(self) -> Memory:
        return Memory()

    def decide(self, memory: Memory, seen: Snapshot) -> tuple[Memory, Sequence[Action]]:
        memory, demand = looked(memory, seen, self.settings)
        return place_new(memory, seen, demand, steering_of(seen), self.settings, [])


def snapshot(**changes: Any) -> Snapshot:
    """Core 0 has three times the packets of cores 1 and 2, and on each core two of four buckets are empty."""
    reta = tuple(k % 3 for k in range(12))
    buckets = [[30_000.0, 10_000.0, 10_000.0][core] if k < 6 else 0.0 for k, core in enumerate(reta)]
    rates = [sum(rate for k, rate in enumerate(buckets) if reta[k] == core) for core in range(3)]
    cores = tuple(Core(k, rate / 1e6, rate) for k, rate in enumerate(rates))
    return replace(Snapshot(0.0, cores, reta, reta, tuple(buckets), (), Device()), **changes)


def moves(seen: Snapshot, **setting: Any) -> list[tuple[int, int]]:
    _, actions = OnlyNew(replace(PLACES, **setting)).decide(Memory(), seen)
    return [(action.bucket, action.core) for action in actions if isinstance(action, MoveBucket)]


def test_empty_buckets_leave_the_full_core_and_not_all_for_the_same_one() -> None:
    assert moves(snapshot()) == [(6, 1), (9, 2)]


def test_what_is_not_empty_on_its_way_or_refused_stays() -> None:
    assert moves(snapshot(pending=(Pending(6, 0),))) == [(9, 1)]
    assert moves(snapshot(failures=(Failure(9, "reta", "no"),))) == [(6, 1)]
    flow = HeavyFlow(b"flow", 6, 100.0, 1.0, 0, 0.0)
    assert moves(snapshot(flows=(flow,))) == [(9, 1)]


def test_nothing_moves_where_buckets_cannot_or_loads_are_even() -> None:
    assert moves(snapshot(device=Device(reta=False))) == []
    even = tuple(10_000.0 if k < 6 else 0.0 for k in range(12))
    assert moves(snapshot(buckets=even, cores=tuple(Core(k, 0.02, 20_000.0) for k in range(3)))) == []
    assert moves(snapshot(), new_connections=False) == []


def test_no_more_move_than_may_be_on_their_way_and_the_device_takes_safely() -> None:
    assert moves(snapshot(), in_flight=1) == [(6, 1)]
    assert moves(snapshot(device=Device(updates=1.0))) == [(6, 1), (9, 2)], "two updates are always saved up"
    memory, _ = OnlyNew().decide(Memory(), snapshot(device=Device(updates=1.0)))
    _, actions = OnlyNew().decide(memory, snapshot(time=0.01, device=Device(updates=1.0), reta=snapshot().rss))
    assert not [action for action in actions if isinstance(action, MoveBucket)]


def beginning(seed: int, count: int = 800, epochs: int = 200) -> Trace:
    """Connections that begin at any time, and last for 0.2 seconds and longer."""
    chance = np.random.default_rng(seed)
    rates = np.zeros((epochs, count))
    for flow, begins in enumerate(chance.integers(-50, epochs, count)):
        ends = max(0, begins + 20 + int(chance.exponential(40)))
        rates[max(begins, 0) : ends, flow] = chance.exponential(0.02 * CAPACITY)
    return Trace("beginning", made_flows(count, seed), rates, STEP)


def test_alone_it_evens_cores_and_no_connection_changes_its_core() -> None:
    ours, plain = [], []
    for seed in range(4):
        trace = beginning(seed)
        done = simulate(OnlyNew(), trace, Machine(8, port=PORT))
        ours.append(done.imbalance[20:].mean())
        plain.append((done.plain.max(axis=1) / done.plain.mean(axis=1))[20:].mean())
        goes_on = (trace.rates[1:] > 0) & (trace.rates[:-1] > 0)
        assert done.moved.sum() <= (~goes_on & (trace.rates[1:] > 0)).sum(), "only what began finds another core"
    assert np.mean(ours) < np.mean(plain) - 0.1


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 300), cores=st.sampled_from([2, 4, 8]))
def test_under_steady_load_it_comes_to_rest(seed: int, count: int, cores: int) -> None:
    rates = np.random.default_rng(seed).exponential(1.0, count)
    rates *= 0.5 * cores * CAPACITY / rates.sum()
    trace = Trace("steady", made_flows(count, seed), np.tile(rates, (120, 1)), STEP)
    done = simulate(Controller(PLACES), trace, Machine(cores, port=PORT))
    assert not [action for time, action in done.log if time > 1.0 and isinstance(action, MoveBucket)]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), family=st.sampled_from([*sorted(FAMILIES), "beginning"]))
def test_it_loses_no_more_against_plain_rss_than_without_it(seed: int, family: str) -> None:
    trace = beginning(seed, 300, 60) if family == "beginning" else FAMILIES[family](seed, 8, 60)
    done = simulate(Controller(PLACES), trace, Machine(port=PORT))
    at = [loads.max(axis=1) + np.maximum(loads - 1, 0).sum(axis=1) for loads in (done.loads, done.plain)]
    lost = sum(isinstance(a, RollBack) and "more than its stake" in a.reason for _, a in done.log)
    assert (at[0] - at[1]).sum() <= (lost + 1) * (PLACES.stake + 2 * max(0.0, float((at[0] - at[1]).max())))
