"""The steering controller: calm where nothing changes, within the limits of budget and device, and what it decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from burstline.steering.control.actions import (
    Action,
    Dedicate,
    MoveBucket,
    NewFlows,
    Path,
    Place,
    Release,
    RollBack,
    Undedicate,
)
from burstline.steering.control.controller import Controller
from burstline.steering.control.flows import Flows, Trace, made_flows
from burstline.steering.control.makespan import bound, largest_first
from burstline.steering.control.outcome import Outcome
from burstline.steering.control.settings import Settings
from burstline.steering.control.simulated_port import PortLimits
from burstline.steering.control.simulator import Machine, simulate
from burstline.steering.control.snapshot import Core, Device, HeavyFlow, Snapshot
from burstline.steering.control.traces import CAPACITY, FAMILIES, STEP, equal, zipf

SETTLED = 40  # looks


def of(outcome: Outcome, kind: type[Action]) -> list[Any]:
    return [action for _, action in outcome.log if isinstance(action, kind)]


def reachable(trace: Trace, cores: int) -> bool:
    """Whether some placement of flows and buckets has the fullest core within 5 % of the mean: one is shown."""
    rates, buckets = trace.rates[-1], trace.flows.buckets(128)
    heavy = np.argsort(-rates)[:64]
    rest = rates.copy()
    rest[heavy] = 0
    weights = np.concatenate([np.bincount(buckets, rest, minlength=128), rates[heavy]])
    at = largest_first(weights, np.zeros(len(weights), int), np.ones(len(weights), bool), cores, len(weights))
    shown = float(np.bincount(at, weights, minlength=cores).max())
    assert shown >= bound(weights, cores) - 1e-6
    return shown <= 1.05 * float(rates.sum()) / cores


@example(seed=1, cores=8, exponent=1.1875, load=0.75)  # a core that is dedicated, underused, and dedicated again
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000), cores=st.sampled_from([2, 4, 8]), exponent=st.floats(0.3, 1.2),
    load=st.floats(0.2, 0.9),
)  # fmt: skip
def test_steady_traffic_is_within_five_percent_of_even_where_that_is_reachable_and_then_left_alone(
    seed: int, cores: int, exponent: float, load: float
) -> None:
    trace = zipf(seed, cores, 120, load, exponent)
    done = simulate(Controller(), trace, Machine(cores))
    if reachable(trace, cores):
        assert (done.imbalance[SETTLED:] <= 1.05 + 1e-9).all()
    assert not [action for time, action in done.log if time > 80 * STEP], "nothing is done once it has settled"


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(9, 100), cores=st.sampled_from([4, 8]))
def test_flows_that_are_all_alike_are_spread_as_evenly_as_they_can_be(seed: int, count: int, cores: int) -> None:
    done = simulate(Controller(), equal(seed, cores, 80, 0.5, count), Machine(cores))
    best = -(-count // cores) * cores / count
    assert done.imbalance[-1] <= max(best, 1.05) + 1e-9
    assert not [action for time, action in done.log if time > 60 * STEP]


ports = st.builds(
    PortLimits,
    exact=st.integers(0, 12),
    wildcard=st.integers(0, 3),
    moves_buckets=st.booleans(),
    software=st.booleans(),
    updates=st.sampled_from([1.0, 30.0, 400.0, 10_000.0]),
    latency=st.sampled_from([0.0, 0.004, 0.05]),
    rules_a_flow=st.sampled_from([1, 2]),
    real=st.sampled_from([None, 0, 4]),
    fails=st.sampled_from([0.0, 0.2]),
)


@settings(max_examples=30, deadline=None)
@given(port=ports, family=st.sampled_from(sorted(FAMILIES)), seed=st.integers(0, 10_000), groups=st.booleans())
def test_what_it_asks_for_can_be_done_and_no_faster_than_is_safe(
    port: PortLimits, family: str, seed: int, groups: bool
) -> None:
    """The simulator refuses what names no core, flow or bucket, or finds no room by the snapshot; updates within any
    second are no more than the device takes safely, but for the two that change one flow."""
    trace = FAMILIES[family](seed, 8, 60)
    if groups:
        flows = trace.flows
        trace = replace(trace, flows=Flows(flows.keys, flows.hashes, flows.sizes, np.arange(len(flows)) // 2))
    done = simulate(Controller(), trace, Machine(port=port), seed=seed)
    least = 2 * port.rules_a_flow
    for begin, _ in done.updates:
        within = sum(count for time, count in done.updates if begin <= time < begin + 1)
        assert within <= max(port.updates, least + 0.5 * port.updates)
    assert done.rules.max(initial=0) <= port.exact + port.wildcard
    by_time = Counter(time for time, action in done.log if isinstance(action, Place | MoveBucket | Release))
    assert max(by_time.values(), default=0) <= Settings().in_flight


def test_it_is_pure() -> None:
    """The same memory and snapshot give the same actions, and neither changes."""
    seen: list[Snapshot] = []

    class Recording(Controller):
        def decide(self, memory: Any, snapshot: Snapshot) -> tuple[Any, list[Action]]:
            seen.append(snapshot)
            return super().decide(memory, snapshot)

    done = simulate(Recording(), FAMILIES["elephants"](3))
    for _ in range(2):
        memory, said = Controller().start(), list[tuple[float, Action]]()
        for snapshot in seen:
            memory, actions = Controller().decide(memory, snapshot)
            said += [(snapshot.time, action) for action in actions]
        assert said == done.log


def test_an_elephant_gets_a_core_alone_and_the_reason_says_with_which_numbers() -> None:
    """Most of a core, beside mice that would wait behind it; when it has gone, the core is one like the others."""
    flows = made_flows(2000, 1)
    rates = np.tile(np.full(2000, 4 * 0.3 * CAPACITY / 2000), (100, 1))
    rates[:60, 17] = 0.8 * CAPACITY
    done = simulate(Controller(), Trace("one", flows, rates), Machine(4))
    dedicated = of(done, Dedicate)
    assert [action.keys for action in dedicated] == [(flows.keys[17],)]
    core = dedicated[0].core
    assert f"takes 0.80 of core {core}" in dedicated[0].reason
    assert done.offered[50, core] == pytest.approx(0.8 * CAPACITY)
    assert [action.core for action in of(done, Undedicate)] == [core]
    assert done.offered[-1, core] > 0.1 * CAPACITY
    assert done.dropped[SETTLED:].sum() == 0


def test_a_flow_larger_than_a_core_is_left_alone_on_one_and_why_is_said() -> None:
    done = simulate(Controller(), FAMILIES["giant"](5))
    said = [action.reason for _, action in done.log if "cannot be split without reordering" in action.reason]
    assert said and "1.30 of" in said[0]
    core = int(done.offered[-1].argmax())
    assert done.offered[-1, core] == pytest.approx(1.3 * CAPACITY)
    assert (np.delete(done.dropped[-20:], core, axis=1) == 0).all(), "mice lose nothing"


def at_level(port: PortLimits, groups: Any = None) -> Outcome:
    """Five flows of a third of a core, all of one core's bucket or its neighbours, on four cores."""
    flows = made_flows(1000, 3)
    there = np.flatnonzero(flows.buckets(128) % 4 == 1)[:5]
    rates = np.full(1000, 100.0)
    rates[there] = CAPACITY / 4
    flows = Flows(flows.keys, flows.hashes, flows.sizes, groups)
    return simulate(Controller(), Trace("five", flows, np.tile(rates, (60, 1))), Machine(4, port=port))


def test_levels_are_exact_then_wildcard_then_the_bucket_then_software() -> None:
    alone = np.arange(1000)
    exact = at_level(PortLimits(exact=8, wildcard=8, software=True, moves_buckets=False), alone)
    assert {a.level for a in of(exact, Place)} == {"exact"}
    short = at_level(PortLimits(exact=1, wildcard=8, software=True, moves_buckets=False), alone)
    assert {a.level for a in of(short, Place)} <= {"exact", "wildcard"}
    wild = at_level(PortLimits(exact=0, wildcard=8, software=True), alone)
    assert {a.level for a in of(wild, Place)} == {"wildcard"}
    assert all(a.rule_key == b"group %d" % flow for a in of(wild, Place) for flow in [int(a.rule_key[6:])])
    assert "no room for an exact rule: wildcard rule" in of(wild, Place)[0].reason
    reta = at_level(PortLimits(exact=0, wildcard=8, software=True))
    assert not of(reta, Place) and of(reta, MoveBucket)
    assert "no room for an exact rule, no wildcard takes it alone: its whole bucket" in "".join(
        a.reason for a in of(reta, MoveBucket)
    )
    software = at_level(PortLimits(exact=0, wildcard=0, software=True, moves_buckets=False))
    assert {a.level for a in of(software, Place)} == {"software"}
    assert "buckets cannot move: software director" in of(software, Place)[0].reason
    for done in (exact, short, wild, reta, software):
        assert done.imbalance[-1] < 1.6 < 3 < done.imbalance[0]
    nothing = at_level(PortLimits(exact=0, moves_buckets=False))
    assert nothing.log == []


def test_a_device_that_has_less_room_than_it_says_is_left_alone_for_a_while() -> None:
    done = at_level(PortLimits(exact=100, real=2))
    assert done.rules.max() <= 2
    assert done.imbalance[-1] < 1.6, "what has no rule goes with its bucket"
    assert len(of(done, Place)) < 20


def test_rules_that_nothing_hits_are_released() -> None:
    flows = made_flows(1000, 3)
    there = np.flatnonzero(flows.buckets(128) % 4 == 1)[:3]
    rates = np.tile(np.full(1000, 500.0), (100, 1))
    rates[:50, there] = CAPACITY / 4
    done = simulate(Controller(), Trace("gone", flows, rates), Machine(4))
    placed = {action.key for action in of(done, Place)}
    assert placed and done.rules[45] == len(placed)
    rates[50:, there] = 0
    done = simulate(Controller(), Trace("gone", flows, rates), Machine(4))
    released = of(done, Release)
    assert {action.key for action in released} == placed or of(done, RollBack)
    assert done.rules[-1] == 0


def snapshot(time: float, flows: Sequence[HeavyFlow], **changes: Any) -> Snapshot:
    buckets = [10_000.0] * 8
    for flow in flows:
        buckets[flow.bucket] += flow.packets
    rss = tuple(k % 2 for k in range(8))
    by_core = [sum(rate for k, rate in enumerate(buckets) if k % 2 == core) for core in (0, 1)]
    made = Snapshot(
        time, tuple(Core(k, rate / 1e6, rate) for k, rate in enumerate(by_core)), rss, rss, tuple(buckets),
        tuple(flows), Device(exact_room=8),
    )  # fmt: skip
    return replace(made, **changes)


def test_fast_flows_are_marked_and_bypassed_only_when_the_user_says_so() -> None:
    for bypass, path in ((False, "fast"), (True, "bypass")):
        controller = Controller(Settings(fast=50_000, bypass=bypass))
        memory, said = controller.start(), list[Action]()
        for look, rate in enumerate([60_000, 60_000, 40_000, 20_000, 20_000]):
            flow = HeavyFlow(b"flow", 1, rate, 400 * rate, 1, look * 0.01 + 0.01)
            memory, actions = controller.decide(memory, snapshot(look * 0.01, [flow]))
            said += [action for action in actions if isinstance(action, Path)]
        assert [action.path for action in said] == [path, "normal"]
        assert "60,000 packets/s, at least fast = 50,000" in said[0].reason


def test_new_connections_go_to_the_emptiest_core_and_that_changes_only_for_a_clear_difference() -> None:
    controller = Controller(Settings(new_connections=True, enter=1.3))
    memory, said = controller.start(), list[int]()
    for look, rate in enumerate([20_000, 20_000, -1_000, -20_000]):
        flow = HeavyFlow(b"flow", 1 if rate > 0 else 0, abs(rate), 1, 1 if rate > 0 else 0, 0.0)
        memory, actions = controller.decide(memory, snapshot(look * 0.01, [flow]))
        said += [action.core for action in actions if isinstance(action, NewFlows)]
    assert said == [0, 1]


def test_a_snapshot_of_an_idle_port_has_no_actions() -> None:
    idle = snapshot(0.0, [], buckets=(0.0,) * 8, cores=(Core(0, 0.0, 0.0), Core(1, 0.0, 0.0)))
    assert Controller().decide(Controller().start(), idle)[1] == []


def test_packets_that_a_queue_missed_count() -> None:
    """Two flows of 0.9 of a core on one core: it shows only what it can do, and what it missed."""
    flows = made_flows(200, 2)
    there = np.flatnonzero(flows.buckets(128) % 2 == 0)[:2]
    rates = np.full(200, 10.0)
    rates[there] = 0.9 * CAPACITY
    done = simulate(Controller(), Trace("two", flows, np.tile(rates, (30, 1))), Machine(2))
    assert done.imbalance[0] > 1.9 and done.imbalance[-1] < 1.05
    assert done.dropped[-5:].sum() == 0
