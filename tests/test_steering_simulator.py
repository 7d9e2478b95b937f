"""The simulator: no packet is lost unseen, what moves costs, rules have their limits, and captures are traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.state.toeplitz import DEFAULT_KEY, toeplitz
from burstline.steering.control.actions import Action, MoveBucket, Place, Release, RollBack
from burstline.steering.control.captured import Captured
from burstline.steering.control.controller import Controller
from burstline.steering.control.flows import Flows, Trace, made_flows
from burstline.steering.control.plain import Plain
from burstline.steering.control.rss_plus_plus import RssPlusPlus
from burstline.steering.control.simulated_port import ImpossibleAction, PortLimits
from burstline.steering.control.simulator import Machine, Policy, simulate
from burstline.steering.control.snapshot import Snapshot
from burstline.steering.control.traces import CAPACITY, FAMILIES, STEP


@dataclass(frozen=True)
class Scripted:
    """Says at each look what is written for it, and remembers what it saw."""

    script: dict[int, list[Action]]
    name: str = "scripted"

    def start(self) -> list[Snapshot]:
        return []

    def decide(self, memory: list[Snapshot], seen: Snapshot) -> tuple[list[Snapshot], list[Action]]:
        memory.append(seen)
        return memory, self.script.get(len(memory) - 1, [])


def one_flow(rate: float, epochs: int = 10, hashed: int = 0) -> Trace:
    return Trace("one", Flows([b"one"], np.array([hashed]), np.array([100])), np.full((epochs, 1), rate), STEP)


policies = st.sampled_from([Plain(), RssPlusPlus(), Controller()])


@settings(max_examples=20, deadline=None)
@given(policy=policies, family=st.sampled_from(sorted(FAMILIES)), seed=st.integers(0, 1000), queue=st.integers(1, 5000))
def test_all_packets_are_served_or_dropped_or_wait(policy: Policy, family: str, seed: int, queue: int) -> None:
    trace = FAMILIES[family](seed, 4, 40)
    served = 0.0

    class Counting:
        name = "counting"

        def start(self) -> Any:
            return policy.start()

        def decide(self, memory: Any, seen: Snapshot) -> tuple[Any, Any]:
            nonlocal served
            served += sum(core.packets for core in seen.cores) * STEP
            return policy.decide(memory, seen)

    done = simulate(Counting(), trace, Machine(4, queue=queue))
    came = trace.rates.sum() * STEP
    assert done.offered.sum() * STEP == pytest.approx(came)
    # `packets` of a core is no more than came: what its queue held before is left out, at most a queue a core.
    assert came - done.drops - served + 1e-3 >= 0
    assert came - done.drops - served <= 4 * queue * (1 + len(trace.rates)) + 1e-3
    assert (done.dropped >= 0).all() and (done.waits >= 0).all()


@pytest.mark.parametrize(("rate", "dropped"), [(0.5, 0), (1.0, 0), (1.2, 0.2 * 10 * STEP * CAPACITY - 1024)])
def test_a_core_drops_what_it_cannot_do_and_its_queue_cannot_hold(rate: float, dropped: float) -> None:
    done = simulate(Plain(), one_flow(rate * CAPACITY))
    assert done.drops == pytest.approx(dropped)
    assert done.loads.max() == pytest.approx(rate)


def test_a_rule_is_in_force_after_its_latency_and_the_flow_that_moves_pays_for_it() -> None:
    policy = Scripted({1: [Place(b"one", 3, "exact", "")], 5: [Release(b"one", "")]})
    machine = Machine(4, cold=0.0005, port=PortLimits(latency=0.004))
    done = simulate(policy, one_flow(0.5 * CAPACITY), machine)
    assert done.offered[1].tolist() == [0.5 * CAPACITY, 0, 0, 0]
    assert done.offered[2] == pytest.approx([0.4 * 0.5 * CAPACITY, 0, 0, 0.6 * 0.5 * CAPACITY])
    assert done.loads[2, 3] == pytest.approx(0.3 + 0.05), "cold caches: 0.5 ms of 10"
    assert done.offered[3] == pytest.approx([0, 0, 0, 0.5 * CAPACITY])
    assert done.held[2] == pytest.approx(0.5 * CAPACITY * machine.held)
    assert done.offered[-1] == pytest.approx([0.5 * CAPACITY, 0, 0, 0])
    assert done.rules.tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]
    assert done.moved.sum() == 2


def test_what_is_held_for_longer_than_the_queue_has_room_is_lost() -> None:
    policy = Scripted({1: [MoveBucket(0, 1, "")]})
    done = simulate(policy, one_flow(0.5 * CAPACITY), Machine(2, held=0.005, queue=1000))
    assert done.drops == pytest.approx(0.5 * CAPACITY * 0.005 - 1000)


def test_a_roll_back_takes_all_back() -> None:
    policy = Scripted({0: [Place(b"one", 3, "exact", ""), MoveBucket(7, 1, "")], 4: [RollBack(True, "")]})
    done = simulate(policy, one_flow(1000.0), Machine(4))
    assert done.steered.tolist() == [False, True, True, True, True, False, False, False, False, False]
    assert sum(count for _, count in done.updates) == 4


@pytest.mark.parametrize(
    "action",
    [
        Place(b"two", 0, "exact", ""),
        Place(b"one", 9, "exact", ""),
        Place(b"one", 0, "wildcard", ""),
        Place(b"one", 0, "software", ""),
        MoveBucket(128, 0, ""),
        MoveBucket(0, 9, ""),
        Release(b"one", ""),
    ],
)
def test_what_cannot_be_done_is_an_error(action: Action) -> None:
    with pytest.raises(ImpossibleAction):
        simulate(Scripted({0: [action]}), one_flow(1000.0), Machine(4))


def test_a_table_that_is_full_says_so() -> None:
    policy = Scripted({0: [Place(b"one", 1, "exact", "")], 2: []})
    seen: list[Snapshot] = []

    class Watching(Scripted):
        def start(self) -> list[Snapshot]:
            return seen

    done = simulate(Watching(policy.script), one_flow(1000.0), Machine(4, port=PortLimits(exact=5, real=0)))
    assert [failure.full for failure in seen[1].failures] == [True]
    assert seen[2].failures == ()
    assert done.rules.max() == 0


def test_flows_are_hashed_as_nics_do() -> None:
    flows = made_flows(50, 9)
    assert [toeplitz(DEFAULT_KEY, key) for key in flows.keys] == flows.hashes.tolist()
    assert flows.buckets(128).tolist() == [toeplitz(DEFAULT_KEY, key) % 128 for key in flows.keys]


@settings(max_examples=40, deadline=None)
@given(
    times=st.lists(st.integers(0, 10**9), min_size=2, max_size=60).map(sorted).filter(lambda t: t[0] < t[-1]),
    step=st.sampled_from([0.001, 0.01, 0.3, 5.0]),
)
def test_every_packet_of_a_capture_is_in_one_look_the_one_of_its_time(times: list[int], step: float) -> None:
    flows = Flows([b"a", b"b"], np.array([0, 1]), np.array([1, 1]))
    numbers = np.arange(len(times)) % 2
    traffic = Captured(flows, np.array(times), numbers, step)
    counts = np.array([traffic.at(k, None) * step for k in range(traffic.epochs)])
    assert counts.sum() == pytest.approx(len(times))
    wanted = np.zeros_like(counts)
    for time, number in zip(times, numbers, strict=True):
        wanted[min(traffic.epochs - 1, int((time - times[0]) / 1e9 / step + 1e-9)), number] += 1
    assert np.allclose(counts, wanted)
