"""The balancer: it comes to rest, whatever the machine; near workers come first; each move has a reason and a price."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from burstline.errors import UsageError
from burstline.numa.balance.actions import Action, MoveGroup, Park, Wake
from burstline.numa.balance.balancer import Balancer
from burstline.numa.balance.estimate import Estimate
from burstline.numa.balance.places import ACROSS, L3, NODE, SAME, Places
from burstline.numa.balance.seen import Floats, Ints, Seen, Worker
from burstline.numa.balance.settings import BalanceSettings
from burstline.numa.balance.waiting import cost
from burstline.numa.find import find_topology, names
from burstline.numa.interconnect import Interconnect
from burstline.numa.simulate.placed import placed, ports_of

LOOK, NS = 0.01, 400.0
Rates = Callable[[int], Floats]


class Run:
    """Fluid workers: what a group costs is its rate times NS, and what its worker waits for memory; `wrong` times what
    the balancer takes the wait to be."""

    def __init__(self, balancer: Balancer, at: Ints, wrong: float = 1.0) -> None:
        self.balancer, self.at, self.memory, self.wrong = balancer, at.copy(), balancer.start(), wrong
        self.parked = np.zeros(balancer.places.workers, dtype=bool)
        self.looks = 0
        self.log: list[tuple[int, Action]] = []

    def go(self, looks: int, rates: Rates) -> list[Action]:
        done: list[Action] = []
        for _ in range(looks):
            self.looks += 1
            done += self._look(rates(self.looks))
        return done

    def loads(self, rates: Floats) -> Floats:
        stalls = self.wrong * self.balancer.places.stalls[self.at, np.arange(len(rates))]
        found: Floats = np.bincount(self.at, rates * (NS + stalls) * 1e-9, minlength=len(self.parked)).astype(float)
        return found

    def _look(self, rates: Floats) -> Sequence[Action]:
        loads = self.loads(rates)
        through = np.minimum(1.0, 1 / np.maximum(loads, 1e-9))
        came = np.bincount(self.at, rates, minlength=len(loads))
        workers = tuple(
            Worker(min(1.0, load), count * part, 0.5, 1000.0 if load > 1 else 0.0, count * (1 - part), gone > 0)
            for load, count, part, gone in np.stack([loads, came, through, self.parked], axis=1).tolist()
        )  # fmt: skip
        seen = Seen(
            self.looks * LOOK, workers, self.at.copy(), rates * through[self.at], np.full(len(rates), 50.0),
            np.zeros(len(rates), dtype=bool),
        )  # fmt: skip
        self.memory, actions = self.balancer.decide(self.memory, seen)
        for action in actions:
            assert action.reason
            if isinstance(action, MoveGroup):
                assert not self.parked[action.worker] and self.at[action.group] != action.worker
                self.at[action.group] = action.worker
            else:
                assert self.parked[action.worker] == isinstance(action, Wake)
                self.parked[action.worker] = isinstance(action, Park)
        assert not self.parked[self.at].any(), "a parked worker has a group"
        self.log += [(self.looks, action) for action in actions]
        return actions


def balancer_on(machine: str, workers: int, groups: int, **changed: object) -> Balancer:
    topology = find_topology(machine)
    ports = ports_of(topology, 2)
    homes = [ports[k * len(ports) // groups] for k in range(groups)]
    cpus = placed(topology, min(workers, topology.threads), ports)
    return Balancer(Places.of(topology, cpus, homes), replace(BalanceSettings(), **changed))  # type: ignore[arg-type]


def moves_of(actions: Sequence[Action]) -> list[MoveGroup]:
    return [action for action in actions if isinstance(action, MoveGroup)]


@example(
    machine="kunpeng-920-2s", seed=921264, workers=4, load=0.994, skew=0.961, wrong=0.905, park=False, noisy=True,
)  # fmt: skip
@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    machine=st.sampled_from(names()), seed=st.integers(0, 1 << 30), workers=st.integers(1, 16),
    load=st.floats(0.05, 1.1), skew=st.floats(0.0, 1.5), wrong=st.floats(0.0, 3.0), park=st.booleans(),
    noisy=st.booleans(),
)  # fmt: skip
def test_under_a_steady_load_it_comes_to_rest_for_ever(
    machine: str, seed: int, workers: int, load: float, skew: float, wrong: float, park: bool, noisy: bool
) -> None:
    chance = np.random.default_rng(seed)
    balancer = balancer_on(machine, workers, 64, park=park, calm=0.05, dwell=0.03, horizon=2.0)
    count = balancer.places.workers
    shares = chance.permutation(np.arange(1, 65) ** -skew)
    rates = shares / shares.sum() * load * count * 1e9 / NS

    def steady(look: int) -> Floats:
        if not noisy:
            return rates
        counts: Floats = np.random.default_rng((seed, look)).poisson(rates * LOOK) / LOOK
        return counts

    run = Run(balancer, np.arange(64) % count, wrong)
    run.go(800, steady)
    late = run.go(600, steady)
    # Where a worker has more than it can do, what its queue drops is never steady.
    assert len(late) <= (6 if run.loads(rates).max() > 1 else 0)


@pytest.mark.parametrize("machine", names())
def test_on_each_machine_the_fullest_worker_is_relieved(machine: str) -> None:
    balancer = balancer_on(machine, 8, 64)
    count = balancer.places.workers
    rates = np.where(np.arange(64) % count == 0, 4.0, 1.0)
    rates *= 0.6 * count * 1e9 / NS / rates.sum()
    run = Run(balancer, np.arange(64) % count)
    before = float(run.loads(rates).max())
    run.go(400, lambda look: rates)
    assert float(run.loads(rates).max()) < min(0.85, 0.75 * before)
    assert len(moves_of([action for _, action in run.log])) <= 16


def three_tiers() -> Places:
    """Workers 0 and 1 share an L3, 2 is on their node, 3 on another; all groups are at home on the first node."""
    tiers = np.array([
        [SAME, L3, NODE, ACROSS], [L3, SAME, NODE, ACROSS], [NODE, NODE, SAME, ACROSS], [ACROSS, ACROSS, ACROSS, SAME],
    ])  # fmt: skip
    stalls = np.tile(np.array([[10.0], [10.0], [10.0], [70.0]]), (1, 32))
    return Places(tiers, np.where(tiers == ACROSS, 21, 10), stalls, np.full((4, 4), 200.0))


@pytest.mark.parametrize(
    ("others", "expected"), [((0.3, 0.3, 0.3), 1), ((0.9, 0.3, 0.3), 2), ((0.92, 0.92, 0.3), 3)]
)  # fmt: skip
def test_what_is_near_comes_first(others: tuple[float, ...], expected: int) -> None:
    """The L3 domain while it has room, then the node, then another node."""
    at = np.repeat(np.arange(4), 8)
    rates = np.repeat([0.95, *others], 8) / 8 * 1e9 / NS
    run = Run(Balancer(three_tiers()), at)
    moved = moves_of(run.go(100, lambda look: rates))
    assert moved and moved[0].worker == expected
    assert ("its L3 domain", "its node", "another node")[expected - 1] in moved[0].reason


def test_a_move_that_brings_less_than_its_price_is_not_made() -> None:
    at = np.repeat(np.arange(4), 8)
    rates = np.repeat([0.32, 0.3, 0.3, 0.3], 8) / 8 * 1e9 / NS
    run = Run(Balancer(three_tiers()), at)
    assert run.go(600, lambda look: rates) == []
    high = replace(BalanceSettings(), margin=100.0)
    crowded = np.repeat([0.8, 0.6, 0.6, 0.6], 8) / 8 * 1e9 / NS
    assert moves_of(Run(Balancer(three_tiers()), at).go(500, lambda look: crowded))
    assert Run(Balancer(three_tiers(), high), at).go(500, lambda look: crowded) == []


def test_moves_keep_to_their_bounds_and_to_their_minimum_stay() -> None:
    limits = replace(BalanceSettings(), moves=20.0, at_once=3, dwell=0.5)
    run = Run(Balancer(Places.alike(8, 128), limits), np.arange(128) % 8)
    chance = np.random.default_rng(3)

    def wild(look: int) -> Floats:
        found: Floats = np.random.default_rng(look // 20).permutation(np.arange(1, 129) ** -1.0) * chance.uniform(
            0.9, 1.1
        )
        return found / 5.4 * 0.75 * 8 * 1e9 / NS

    run.go(1500, wild)
    made = [(look, action.group) for look, action in run.log if isinstance(action, MoveGroup)]
    assert len(made) > 20
    per_look = np.bincount([look for look, _ in made])
    assert per_look.max() <= 3 and len(made) <= 20 * 15 + 5
    last: dict[int, int] = {}
    for look, group in made:
        assert look - last.get(group, -1000) >= 50
        last[group] = look


def test_workers_are_parked_when_they_are_not_needed_and_woken_when_they_are() -> None:
    limits = replace(BalanceSettings(), park=True, calm=0.2, horizon=2.0)
    run = Run(Balancer(Places.alike(8, 128), limits), np.arange(128) % 8)
    even = np.ones(128) / 128 * 1e9 / NS
    run.go(500, lambda look: even * 1.2)
    assert 8 - run.parked.sum() == 3  # 1.2 cores on three are 0.4 each, on two they would be 0.6
    first = sum(isinstance(action, Park) for _, action in run.log)
    run.go(500, lambda look: even * 5.0)
    assert 8 - run.parked.sum() >= 7 and run.loads(even * 5).max() < 0.95
    assert first == 5 and any(isinstance(action, Wake) for _, action in run.log)
    assert run.go(500, lambda look: even * 5.0) == []


def test_traffic_that_changes_is_followed_at_once_and_chance_is_not() -> None:
    chance = np.random.default_rng(1)
    rates = np.full(64, 1e5)
    one = Estimate.first(chance.poisson(rates * LOOK) / LOOK, 0.0)
    none = np.zeros(64, dtype=bool)
    for look in range(1, 200):
        one = one.seen(chance.poisson(rates * LOOK) / LOOK, LOOK, look * LOOK, none)
    assert float(np.abs(one.rates / rates - 1).max()) < 0.03 and one.dispersion < 1.3
    assert (one.since < 1.0).all()
    changed = np.where(np.arange(64) == 5, 2e5, rates)
    two = one.seen(changed, LOOK, 2.0, none)
    assert two.rates[5] == 2e5 and two.since[5] == 2.0 and (two.since[:5] < 2.0).all()
    ignored = one.seen(changed, LOOK, 2.0, np.arange(64) == 5)
    assert ignored.rates[5] == one.rates[5]


def test_more_load_never_costs_less_and_the_fullest_counts_most() -> None:
    loads = np.linspace(0, 2, 400)
    found = cost(loads, 1.0)
    assert (np.diff(found) > 0).all() and (np.diff(found, 2) > -1e-9).all()
    assert cost(np.array([0.5, 0.5]), 1.0).sum() < cost(np.array([0.3, 0.7]), 1.0).sum()


def test_places_are_those_of_the_machine() -> None:
    machine = find_topology("epyc-7763-2s-nps4")
    cpus = placed(machine, 16, (0,))
    places = Places.of(machine, cpus, [0] * 4)
    cores = [machine.core_of[cpu] for cpu in cpus]
    latencies = Interconnect.of(machine).latencies
    for a in range(16):
        for b in range(16):
            expected = (
                SAME if a == b else ACROSS if cores[a].node != cores[b].node
                else L3 if cores[a].cache == cores[b].cache else NODE
            )  # fmt: skip
            assert places.tiers[a, b] == expected
    far = next(k for k, core in enumerate(cores) if core.node == 7)
    assert places.stalls[far, 0] == pytest.approx(1.5 * latencies[7, 0] / 4)
    assert places.stalls[far, 0] > places.stalls[0, 0]
    with pytest.raises(UsageError, match="no CPU 999"):
        Places.of(machine, [999], [0])


def test_the_same_look_gives_the_same_decision() -> None:
    """It is pure: what it remembers is not touched."""
    at, rates = np.repeat(np.arange(4), 8), np.repeat([0.95, 0.3, 0.3, 0.3], 8) / 8 * 1e9 / NS
    run = Run(Balancer(three_tiers()), at)
    run.go(2, lambda look: rates)
    workers = tuple(Worker(load, load * 1e9 / NS) for load in (0.95, 0.3, 0.3, 0.3))
    seen = Seen(1.0, workers, at, rates, np.full(32, 50.0), np.zeros(32, dtype=bool))
    first, again = (run.balancer.decide(run.memory, seen)[1] for _ in range(2))
    assert first == again and moves_of(first)
