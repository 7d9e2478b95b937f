"""Plans: as cheap as can be, within the bound that they tell, where pins allow; and what the simulator says of them."""

from __future__ import annotations

import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.harness.plan_instances import NO_PINS, large_instance, random_instance, skewed_instance
from burstline.errors import UsageError
from burstline.numa.attainable import carried, clipped
from burstline.numa.bound import bound_alone, lower_bound
from burstline.numa.cores import cpus_of
from burstline.numa.cost_model import CostModel
from burstline.numa.demand import PortLoad, TableNeed, demand_of, scaled, zipf
from burstline.numa.exact import solve_exactly
from burstline.numa.explanation import as_json, explain, lines
from burstline.numa.find import find_topology
from burstline.numa.linear_program import has_scipy
from burstline.numa.pins import Pin, resolve
from burstline.numa.placing import Placing
from burstline.numa.plan import make_plan
from burstline.numa.problem import Problem, Spot
from burstline.numa.search import greedy, improve, search, swap
from burstline.numa.simulator import simulate
from burstline.numa.synthetic import read_synthetic
from burstline.numa.usual import by_hops, round_robin

needs_scipy = pytest.mark.skipif(not has_scipy(), reason="scipy is not installed")
seeds = st.integers(0, 10_000)


def problem_of(seed: int) -> Problem:
    made = random_instance(seed)
    return Problem(made.machine, made.demand, NO_PINS)


def small(seed: int) -> Problem:
    """One that can be counted out: two or three nodes, two workers."""
    chance = random.Random(seed)
    machine = read_synthetic(chance.choice([
        "pack:2 numa:1(memory=1GB) l3:1(size=1MB) core:1 pu:2", "pack:3 numa:1(memory=1GB) l3:1(size=1MB) core:1 pu:2",
        "pack:1 numa:2(memory=1GB) l3:1(size=256KB) core:2 pu:1",
    ]))  # fmt: skip
    ports = [PortLoad("p", 0, chance.uniform(1e6, 2e7), chance.choice((64, 1500)), zipf(2, chance.random()))]
    tables = [TableNeed("t", chance.choice((1 << 20, 600 << 20)), chance.choice((1.0, 8.0)), own=chance.random() < 0.7)]
    return Problem(machine, demand_of(ports, 2, tables, control=chance.randint(0, 1)), NO_PINS)


def cheapest(problem: Problem) -> float:
    """Of all placements there are."""
    domains, nodes = range(len(problem.domains)), range(problem.nodes)
    spots = (
        Spot(np.array(threads), np.array(memories, dtype=np.int64))
        for threads in itertools.product(domains, repeat=len(problem.demand.threads))
        for memories in itertools.product(nodes, repeat=len(problem.demand.memories))
    )
    return min(problem.cost(spot).total for spot in spots if problem.fits(spot))


@needs_scipy
@settings(max_examples=15, deadline=None)
@given(seeds)
def test_the_exact_plan_is_the_cheapest_of_all_there_are(seed: int) -> None:
    problem = small(seed)
    least = cheapest(problem)
    solved = solve_exactly(problem, gap=0.0)
    assert solved.spot is not None and problem.fits(solved.spot)
    assert problem.cost(solved.spot).total == pytest.approx(least, rel=1e-6, abs=1e-9)
    assert solved.bound <= least * (1 + 1e-6) + 1e-9
    assert bound_alone(problem) <= lower_bound(problem) <= least * (1 + 1e-6) + 1e-9
    assert problem.cost(search(problem, rounds=10, seconds=20)).total <= least * 1.05 + 1e-9


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_what_a_placement_adds_up_while_it_changes_is_what_the_problem_says(seed: int) -> None:
    problem = problem_of(seed)
    chance, placing = random.Random(seed), Placing(problem)
    greedy(placing)
    for _ in range(12):
        thread = chance.randrange(len(placing.domains))
        where = placing.take(thread)
        old = placing.price(thread, *where)
        domain = chance.choice(placing.open_domains(thread))
        node = int(problem.domain_nodes[domain])
        prices, chosen = placing.by_node(thread, [node])
        told = placing.price(thread, domain, chosen[0])
        assert told == pytest.approx(float(prices[0]) + placing.joining(thread, domain), abs=1e-9)
        placing.put(thread, *where)
        before = problem.cost(placing.spot).total
        placing.take(thread)
        placing.put(thread, domain, chosen[0])
        assert problem.cost(placing.spot).total - before == pytest.approx(told - old, abs=1e-9)
        for memory in placing.shared:
            prices_of = placing.memory_prices(memory)
            now, to = int(placing.memories[memory]), chance.choice([*prices_of])
            before = problem.cost(placing.spot).total
            placing.move_memory(memory, to)
            after = problem.cost(placing.spot).total
            assert after - before == pytest.approx(prices_of[to] - prices_of[now], abs=1e-9)
        assert np.allclose(placing.load, problem.loads(placing.spot))
        assert problem.fits(placing.spot)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_swaps_and_moves_save_what_they_say(seed: int) -> None:
    problem = problem_of(seed)
    placing, chance = Placing(problem), random.Random(seed)
    placing.restore(round_robin(problem))
    for a, b in itertools.islice(itertools.combinations(range(len(placing.domains)), 2), 20):
        before = problem.cost(placing.spot).total
        saved = swap(placing, a, b)
        assert before - problem.cost(placing.spot).total == pytest.approx(saved, abs=1e-9)
        assert problem.fits(placing.spot)
    before = problem.cost(placing.spot).total
    improve(placing, chance, ends=float("inf"))
    assert problem.cost(placing.spot).total <= before + 1e-9


@settings(max_examples=10, deadline=None)
@given(seeds)
def test_prices_that_are_looked_up_are_those_that_are_counted(seed: int) -> None:
    problem = problem_of(seed)
    placing = Placing(problem)
    greedy(placing)
    for m, memory in enumerate(problem.demand.memories[:4]):
        for k in problem.of_memory[m][:1]:
            access = problem.demand.accesses[k]
            table = problem.route_tables[memory.port_node]
            told = table.prices(
                problem.model,
                placing.load,
                problem.capacity,
                access.read,
                access.written,
                memory.dma_in,
                memory.dma_out,
            )
            more = problem.traffic(k) + problem.dma[m][None, :, :]
            waits = problem.model.waiting((placing.load + more) / problem.capacity).sum(axis=2)
            assert np.allclose(told, waits - problem.model.waiting(placing.load / problem.capacity).sum())


@needs_scipy
@pytest.mark.parametrize("seed", range(0, 13))
def test_plans_of_random_machines_are_within_their_bounds(seed: int) -> None:
    made = random_instance(seed)
    plan = make_plan(made.machine, made.demand, method="search", seconds=1.5)
    assert plan.problem.fits(plan.spot)
    assert plan.bound <= plan.cost.total * (1 + 1e-6)
    assert lower_bound(plan.problem) >= bound_alone(plan.problem)
    assert plan.gap < 0.25
    check_cpus(plan.problem, plan.spot)


def check_cpus(problem: Problem, spot: Spot) -> None:
    cpus = cpus_of(problem, spot)
    assert len({*cpus}) == len(cpus)
    by_core: dict[int, list[int]] = {}
    for t, cpu in enumerate(cpus):
        core = problem.machine.core_of[cpu]
        assert core.cache == spot.domains[t]
        by_core.setdefault(core.number, []).append(t)
    shared = sorted(t for each in by_core.values() if len(each) > 1 for t in each)
    assert all(len(each) <= 2 for each in by_core.values())
    told = sorted(
        t
        for d in range(len(problem.domains))
        for t in problem.sharers(d, [int(x) for x in np.flatnonzero(spot.domains == d)])
    )
    assert shared == told


@settings(max_examples=25, deadline=None)
@given(seeds, st.data())
def test_pins_are_kept_and_cores_are_shared_by_those_that_lose_least(seed: int, data: st.DataObject) -> None:
    made = random_instance(seed)
    cpus = data.draw(st.lists(st.sampled_from(sorted(made.machine.core_of)), max_size=3, unique=True))
    workers = [t.name for t in made.demand.threads if t.kind == "worker"][: len(cpus)]
    pins = [Pin.of(f"{name}=cpu:{cpu}") for name, cpu in zip(workers, cpus, strict=False)]
    home = data.draw(st.sampled_from([node.number for node in made.machine.nodes]))
    pins.append(Pin.of(f"flows=node:{home}"))
    problem = Problem(made.machine, made.demand, resolve(pins, made.machine, made.demand))
    spot = search(problem, rounds=2, seconds=20)
    assert cpus_of(problem, spot)[: len(workers)] == cpus[: len(workers)]
    tables = [m for m, memory in enumerate(made.demand.memories) if "flows" in memory.name]
    assert {made.machine.nodes[j].number for j in spot.memories[tables]} == {home}
    check_cpus(problem, spot)


@pytest.mark.parametrize(
    ("pins", "said"),
    [
        (["worker0=cpu:3", "worker1=cpu:3"], ("--pin worker0=cpu:3", "--pin worker1=cpu:3", "worker 0 and worker 1")),
        (["worker0=cpu:0", "worker0=node:1"], ("--pin worker0=cpu:0", "--pin worker0=node:1", "on node 0")),
        (["worker0=node:0", "worker0=node:1"], ("--pin worker0=node:0", "--pin worker0=node:1")),
        (["flows=node:0", "flows=node:1"], ("--pin flows=node:0", "--pin flows=node:1")),
        (["worker=node:0", "control=node:0"], ("--pin worker=node:0", "--pin control=node:0", "room for 4")),
        (["worker9=cpu:0"], ("there is no worker9",)),
        (["worker0=cpu:99"], ("has no CPU 99",)),
        (["worker0=node:7"], ("has no node 7",)),
        (["worker=cpu:1"], ("are 4 threads",)),
        (["flows=cpu:1"], ("is memory",)),
        (["flows=node:0", "pool=node:0"], ("--pin flows=node:0", "--pin pool=node:0", "bytes are fixed")),
    ],
)  # fmt: skip
def test_pins_that_cannot_hold_name_each_other(pins: list[str], said: tuple[str, ...]) -> None:
    machine = read_synthetic("pack:2 numa:1(memory=1GB) core:2 pu:2")
    demand = demand_of([PortLoad("p", 0, 1e6, 64, zipf(4, 0))], 4, [TableNeed("flows", 250 << 20)])
    with pytest.raises(UsageError) as raised:
        resolve([Pin.of(pin) for pin in pins], machine, demand)
    assert all(word in raised.value.message for word in said)
    assert raised.value.hint


@pytest.mark.parametrize("text", ["worker0", "worker0=3", "=cpu:3", "worker0=core:1", "worker0=cpu:x"])
def test_pins_are_written_in_one_way(text: str) -> None:
    with pytest.raises(UsageError, match="fixes nothing"):
        Pin.of(text)


def test_what_has_no_room_is_an_error() -> None:
    machine = read_synthetic("numa:2(memory=1GB) core:2")
    ports = [PortLoad("p", 0, 1e6, 64, zipf(8, 0))]
    with pytest.raises(UsageError, match="9 threads are more"):
        make_plan(machine, demand_of(ports, 8))
    with pytest.raises(UsageError, match="bytes of tables and pools are more"):
        make_plan(machine, demand_of(ports, 2, [TableNeed("t", 3 << 30)]))
    with pytest.raises(UsageError, match="no node of"):
        make_plan(machine, demand_of(ports, 2, [TableNeed("t", 700 << 20), TableNeed("u", 500 << 20, own=False)]))
    with pytest.raises(UsageError, match="table t of worker 0 has 1,610,612,736 bytes"):
        make_plan(machine, demand_of(ports[:1], 1, [TableNeed("t", 3 << 29)]))


def test_the_queue_is_convex_and_below_the_formula() -> None:
    model = CostModel()
    at = np.linspace(0, 0.96, 97)
    told = model.waiting(at) * model.overlap
    assert (told <= at**2 / (1 - at) + 1e-9).all() and (told >= 0.5 * at**2 / (1 - at) - 0.05).all()
    far = model.waiting(np.linspace(0, 3, 301))
    assert (np.diff(far, 2) >= -1e-9).all() and far[-1] > far[100] > 0
    assert model.sharing(0.5) == pytest.approx(0.5 * model.slowdown) and model.sharing(0.9) > 1.0


@settings(max_examples=30, deadline=None)
@given(seeds, st.floats(0.2, 8))
def test_nothing_gets_through_that_a_resource_has_no_room_for(seed: int, load: float) -> None:
    made = random_instance(seed)
    problem = Problem(made.machine, scaled(made.demand, load), NO_PINS)
    for spot in (round_robin(problem), by_hops(problem)):
        assert problem.fits(spot)
        found = simulate(problem, spot)
        assert (found.utilisation <= 1 + 1e-6).all() and (found.through <= found.offered * (1 + 1e-9)).all()
        if found.lossless >= 1 + 1e-6:
            assert found.total == pytest.approx(found.offered.sum())
        half = simulate(Problem(made.machine, scaled(made.demand, load / 2), NO_PINS), spot)
        assert half.total <= found.total * (1 + 1e-6)


def test_a_load_that_no_machine_carries_is_planned_at_what_it_carries() -> None:
    machine = find_topology("opteron-6276-4s")
    demand = demand_of([PortLoad("p", 0, 90e6, 1500, zipf(24, 0.8))], 24, [TableNeed("flows", 1 << 28, 4.0)])
    problem = Problem(machine, demand, NO_PINS)
    less = Problem(machine, clipped(problem), NO_PINS)
    assert (less.busy + less.least_stalls <= 0.98 + 1e-9).all()
    plan = make_plan(machine, demand, method="search", seconds=2)
    assert 0 < plan.carried < 1
    through = simulate(problem, plan.spot).total
    assert through >= 0.97 * max(simulate(problem, spot).total for spot in (round_robin(problem), by_hops(problem)))
    assert carried(problem, plan.spot) < 1


@pytest.mark.parametrize("name", ["xeon-8180-8s", "xeon-8480-2s-snc4", "opteron-6276-4s"])
def test_skewed_traffic_gets_further_than_by_hops(name: str) -> None:
    made = skewed_instance(name, 1)
    plan = make_plan(made.machine, made.demand, method="search", seconds=2)
    problem = Problem(made.machine, made.demand, NO_PINS)
    assert simulate(problem, plan.spot).total >= 0.98 * simulate(problem, by_hops(problem)).total


def test_many_nodes_are_planned_with_a_bound() -> None:
    made = large_instance(16, 128, 64)
    plan = make_plan(made.machine, made.demand, seconds=1)
    assert plan.method == "search" and plan.gap < (0.1 if has_scipy() else 1.0)
    check_cpus(plan.problem, plan.spot)


def test_explanations_tell_what_it_costs_to_do_otherwise() -> None:
    made = random_instance(7)
    plan = make_plan(made.machine, made.demand, [Pin.of("worker0=node:0")], seconds=1)
    threads, memories = explain(plan)
    assert threads[0].why == "pinned" and threads[0].otherwise is None
    before = plan.cost.total
    placing = Placing(plan.problem)
    for reason in threads[1:]:
        assert reason.otherwise is not None and reason.otherwise.node != reason.node
    for t, reason in enumerate(threads):
        if reason.otherwise is None:
            continue
        placing.restore(plan.spot)
        placing.take(t)
        i = plan.problem.machine.index[reason.otherwise.node]
        own = placing.by_node(t, [i])[1][0]
        costs = []
        for d in placing.open_domains(t):
            if plan.problem.domains[d].node == i:
                placing.put(t, d, own)
                costs.append(plan.problem.cost(placing.spot).total - before)
                placing.take(t)
        assert reason.otherwise.more == pytest.approx(max(0.0, min(costs)), abs=1e-9)
    told = as_json(plan)
    assert json.loads(json.dumps(told))["cost"]["total"] == pytest.approx(before)
    assert len(told["memories"]) == len(memories)
    text = "\n".join(lines(plan))
    assert ("worker 0" in text and "busiest" in text) or "nothing costs less" in text
