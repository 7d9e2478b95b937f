"""The planner's bench: its instances are what they are called, and its figures those of plans."""

from __future__ import annotations

import pytest

from benchmarks.harness.plan_instances import NO_PINS, SHAPES, large_instance, random_instance, skewed_instance
from benchmarks.harness.plan_measured import MACHINES, USUAL, above_optimum, carried
from burstline.numa.find import find_topology
from burstline.numa.linear_program import has_scipy
from burstline.numa.problem import Problem


def test_random_instances_have_one_to_eight_nodes_and_always_the_same() -> None:
    made = [random_instance(seed) for seed in range(len(SHAPES))]
    assert {len(each.machine.nodes) for each in made} == set(range(1, 9))
    assert made == [random_instance(seed) for seed in range(len(SHAPES))]
    for each in made:
        problem = Problem(each.machine, each.demand, NO_PINS)
        workers = sum(thread.kind == "worker" for thread in each.demand.threads)
        assert 0.15 < float(problem.busy.sum() + problem.least_stalls.sum()) / workers < 0.9


def test_the_large_machine_has_what_it_is_called_after() -> None:
    made = large_instance()
    assert (len(made.machine.nodes), len(made.machine.cores)) == (16, 512)
    assert sum(memory.kind == "pool" for memory in made.demand.memories) == 256


def test_throughput_is_compared_on_machines_of_four_nodes_and_more_under_skew() -> None:
    assert all(len(find_topology(name).nodes) >= 4 for name in MACHINES)
    made = skewed_instance("opteron-6276-4s", 2)
    packets = sorted((thread.packets for thread in made.demand.threads if thread.packets), reverse=True)
    assert packets[0] > 2 * packets[len(packets) // 2]


def test_what_gets_through_is_more_than_by_hops() -> None:
    found = carried("xeon-8180-8s", 0)
    assert set(found.theirs) == set(USUAL)
    assert found.ours >= 0.99 * max(found.theirs.values()) and 0 < found.share <= 1 + 1e-9


@pytest.mark.skipif(not has_scipy(), reason="scipy is not installed")
def test_the_optimum_is_never_above_a_plan() -> None:
    for each in above_optimum(range(2, 5)):
        assert 0 <= each.share < 0.25 and each.closed
