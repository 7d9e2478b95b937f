"""What is misplaced on machines that ship: nothing where all is well, and each fault with what mends it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from burstline.numa.find import find_topology, names
from burstline.numa.placement_check import IrqAt, MemoryAt, PortAt, ThreadAt, Where, misplaced
from burstline.numa.topology import Topology

WORKERS = 2


def port_node(machine: Topology) -> int:
    """The node with cores that has most of them, and the second of those where there are several."""
    here = sorted({core.node for core in machine.cores}, key=lambda n: -len(machine.cores_in(node=n)))
    return here[min(1, len(here) - 1)]


def well_placed(machine: Topology) -> Where:
    """Workers beside their port, each on a core of its own; memory beside them; others elsewhere."""
    node = port_node(machine)
    cpus = [core.cpus[0] for core in machine.cores_in(node=node)][:WORKERS]
    rest = tuple(sorted({*machine.core_of} - {*cpus}))
    threads = [ThreadAt(f"worker {k}", 100 + k, (cpu,), k) for k, cpu in enumerate(cpus)]
    return Where(
        (*threads, ThreadAt("eal-intr-thread", 90, rest)),
        (
            MemoryAt("pool dpdk:0000:3b:00.0", "pool", {node: 256}, tuple(range(WORKERS)), port="dpdk:0000:3b:00.0"),
            *(MemoryAt(f"table flows of worker {k}", "table", {node: 200}, (k,)) for k in range(WORKERS)),
        ),
        (PortAt("dpdk:0000:3b:00.0", node, tuple(range(WORKERS))),),
        (IrqAt(40, "eth0-rx-0", rest[:1]),),
    )


def far_node(machine: Topology) -> int | None:
    return next((node.number for node in machine.nodes if node.number != port_node(machine)), None)


def with_worker(where: Where, worker: int, **changes: object) -> Where:
    threads = [replace(t, **changes) if t.worker == worker else t for t in where.threads]  # type: ignore[arg-type]
    return replace(where, threads=tuple(threads))


@pytest.mark.parametrize("name", names())
def test_nothing_is_wrong_where_all_is_beside_its_port(name: str) -> None:
    machine = find_topology(name)
    assert misplaced(machine, well_placed(machine)) == []


@pytest.mark.parametrize("name", names())
def test_a_table_on_another_node_is_told_with_the_command_that_brings_it_back(name: str) -> None:
    machine = find_topology(name)
    where, far = well_placed(machine), far_node(machine)
    if far is None:
        pytest.skip("one node")
    pool, first, second = where.memories
    (wrong,) = misplaced(machine, replace(where, memories=(pool, replace(first, pages={far: 200}), second)))
    cpu = where.threads[0].cpus[0]
    assert wrong.what == f"table flows of worker 0 lies on node {far}, and who uses it is on node {port_node(machine)}"
    assert wrong.fix.startswith(f"burstline move worker0 --cpu {cpu}")


@pytest.mark.parametrize("name", names())
def test_a_pool_on_another_node_is_told_with_the_huge_pages_of_its_own(name: str) -> None:
    machine = find_topology(name)
    where, far = well_placed(machine), far_node(machine)
    if far is None:
        pytest.skip("one node")
    moved = replace(where.memories[0], pages={far: 256})
    (wrong,) = misplaced(machine, replace(where, memories=(moved, *where.memories[1:])))
    assert f"pool dpdk:0000:3b:00.0 lies on node {far}" in wrong.what
    assert f"/node{port_node(machine)}/hugepages/" in wrong.fix


@pytest.mark.parametrize("name", names())
def test_a_port_polled_from_a_far_node_is_told_with_cores_that_are_near(name: str) -> None:
    machine = find_topology(name)
    where = well_placed(machine)
    others = [c for c in machine.cores if c.node != port_node(machine)]
    if not others:
        pytest.skip("cores of one node")
    moved = with_worker(where, 0, cpus=(others[0].cpus[0],))
    moved = replace(moved, memories=moved.memories[:1], irqs=())
    moved = replace(moved, threads=tuple(t for t in moved.threads if t.worker is not None))
    (wrong,) = misplaced(machine, moved)
    assert f"is on node {port_node(machine)}, and worker 0 that polls it on node {others[0].node}" in wrong.what
    given = wrong.fix.rpartition("--cores ")[2].split(",")
    assert machine.core_of[int(given[0])].node == port_node(machine)
    assert given[1] == str(where.threads[1].cpus[0]), "the other one stays"
    assert misplaced(machine, with_worker(moved, 0, planned=others[0].cpus[0])) == [], "a plan weighs more than that"


@pytest.mark.parametrize("name", names())
def test_workers_on_one_core_are_told_while_another_one_is_free(name: str) -> None:
    machine = find_topology(name)
    node = port_node(machine)
    cores = machine.cores_in(node=node)
    if len(cores[0].cpus) < 2:
        pytest.skip("no threads")
    where = with_worker(replace(well_placed(machine), irqs=()), 1, cpus=(cores[0].cpus[1],))
    where = replace(where, threads=where.threads[:WORKERS])
    (wrong,) = misplaced(machine, where)
    assert wrong.what.startswith("workers 0 and 1 share a core")
    assert f"burstline move worker1 --cpu {cores[1].cpus[0]}" in wrong.fix


def test_other_threads_and_interrupts_on_a_workers_cpu_are_told() -> None:
    machine = find_topology("xeon-6248-2s")
    where = well_placed(machine)
    cpu = where.threads[0].cpus[0]
    everywhere = ThreadAt("steering", 77, tuple(sorted(machine.core_of)))
    told = misplaced(
        machine, replace(where, threads=(*where.threads, everywhere), irqs=(IrqAt(41, "eth0-rx-1", (cpu,)),))
    )
    assert [wrong.what for wrong in told] == [
        f"interrupt 41 of a network card (eth0-rx-1) comes to CPU {cpu}, of worker 0",
        "1 other thread (steering) may run on the CPU of worker 0 and 1",
    ]
    assert "/proc/irq/41/smp_affinity_list" in told[0].fix
    assert "taskset -pc" in told[1].fix
    assert told[1].fix.endswith(" 77")


def test_a_worker_that_left_its_plan_is_told() -> None:
    machine = find_topology("epyc-7763-2s-nps4")
    where = well_placed(machine)
    cpu = where.threads[0].cpus[0]
    (wrong,) = misplaced(machine, with_worker(where, 0, planned=cpu + 3))
    assert wrong.fix == f"burstline move worker0 --cpu {cpu + 3}"


def test_memory_that_a_plan_has_elsewhere_is_no_fault() -> None:
    machine = find_topology("xeon-8180-4s-mesh")
    where, far = well_placed(machine), far_node(machine)
    assert far is not None
    pool, table, other = where.memories
    away = replace(where, memories=(pool, replace(table, pages={far: 200}, planned=far), other))
    assert misplaced(machine, away) == []
    back = replace(where, memories=(pool, replace(table, planned=far), other))
    (wrong,) = misplaced(machine, back)
    assert "and the plan has it on node" in wrong.what
    assert "move" not in wrong.fix, "a worker's move leaves what is planned on another node"


def test_memory_of_a_worker_that_nobody_saw_is_told() -> None:
    """A run that ended before the first look at its threads."""
    machine = find_topology("xeon-6248-2s")
    where = Where(memories=(MemoryAt("code of worker 0", "code", {0: 5}, (0,), planned=1),))
    (wrong,) = misplaced(machine, where)
    assert wrong.what == "code of worker 0 lies on node 0, and the plan has it on node 1"


def test_other_threads_on_the_directors_cpu_are_told() -> None:
    machine = find_topology("xeon-6248-2s")
    where = Where((ThreadAt("director", 9, (4,), -1), ThreadAt("steering", 77, (4, 5))))
    (wrong,) = misplaced(machine, where)
    assert wrong.what == "1 other thread (steering) may run on the CPU of the director"


def test_where_things_are_goes_through_json() -> None:
    where = well_placed(find_topology("xeon-8480-2s-cxl"))
    assert Where.of(json.loads(json.dumps(where.as_json()))) == where
