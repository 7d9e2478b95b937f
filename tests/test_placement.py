"""Plans as runs carry them out: read from files that `burstline plan --save` writes, refused where they do not fit."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from burstline.engine import live_buffers
from burstline.engine.config import Config, Engine, Numa
from burstline.engine.placement.placement import Placement, control_cpus, load_placement, placement_of
from burstline.engine.placement.planned import node_here, this_machine, with_plan
from burstline.errors import UsageError
from burstline.numa.demand import PortLoad, TableNeed, demand_of, zipf
from burstline.numa.explanation import as_json
from burstline.numa.find import find_topology, names
from burstline.numa.plan import make_plan
from burstline.numa.usable import usable

MACHINE = find_topology("epyc-7763-2s-nps4")


@functools.cache  # a search ends by the clock
def plan(machine: Any = MACHINE) -> Any:
    ports = [PortLoad("0000:02:00.0", 1, 5e6, 512, zipf(4, 0.5))]
    tables = (TableNeed("flows", 1 << 26), TableNeed("blocked", 1 << 20, own=False, writes=False))
    return make_plan(machine, demand_of(ports, 4, tables), method="search", seconds=0.1, bounded=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "plan.json"
    path.write_text(json.dumps(as_json(plan())))
    return path


def test_a_saved_plan_is_the_plan(saved: Path) -> None:
    direct = placement_of(plan(), MACHINE, str(saved))
    loaded = load_placement(saved, MACHINE, 4, ["0000:02:00.0"])
    assert loaded == direct
    assert len(loaded.cores) == 4
    assert {q for _, q in loaded.pools} == {0, 1, 2, 3}
    assert loaded.pool_node("0000:02:00.0", 5) == loaded.pools["0000:02:00.0", 1]
    assert loaded.table_node("blocked", 3) == loaded.tables["blocked", None]
    assert loaded.table_node("small", 2) == loaded.node_of(2), "what the plan does not name is beside its worker"


@pytest.mark.parametrize(
    ("workers", "device", "machine", "said"),
    [
        (3, "0000:02:00.0", MACHINE, "is for 4 workers, not 3"),
        (4, "0000:99:00.0", MACHINE, "says nothing of dpdk:0000:99:00.0, but of dpdk:0000:02:00.0"),
        (4, "0000:02:00.0", usable(MACHINE, range(4)), "which this process may not use or the machine has not"),
        (4, "0000:02:00.0", find_topology("epyc-7763-2s-nps1"), "is on node 1 there, and on node 0 here"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    saved: Path, workers: int, device: str, machine: Any, said: str, tmp_path: Path
) -> None:
    if "there, and on" in said:  # whatever the search chose: all on node 1
        told = json.loads(saved.read_text())
        for k, thread in enumerate(told["threads"]):
            thread |= {"node": 1, "cpu": 8 + k}
        saved = tmp_path / "plan.json"
        saved.write_text(json.dumps(told))
    with pytest.raises(UsageError, match=said):
        load_placement(saved, machine, workers, [device])


NO_PLANS = [
    "", "[]", "{}", '{"threads": [{"name": "worker 0"}], "memories": []}', '{"threads": [], "memories": []}',
    '{"threads": [{"name": "worker 1", "cpu": 0, "node": 0}], "memories": []}',
    '{"threads": [{"name": "worker 0", "cpu": Infinity, "node": 0}], "memories": []}',
]  # fmt: skip


@pytest.mark.parametrize("text", NO_PLANS)
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no plan"):
        load_placement(path, MACHINE, None, [])
    with pytest.raises(UsageError, match=r"none\.json"):
        load_placement(tmp_path / "none.json", MACHINE, None, [])


def test_two_workers_on_one_cpu_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    threads = [{"name": f"worker {k}", "cpu": 3, "node": 0} for k in range(2)]
    path.write_text(json.dumps({"threads": threads, "memories": []}))
    with pytest.raises(UsageError, match="has two workers on CPU 3"):
        load_placement(path, MACHINE, None, [])


@pytest.mark.parametrize("name", names())
def test_other_threads_have_cores_without_workers(name: str) -> None:
    machine = find_topology(name)
    cpus = [core.cpus[0] for core in machine.cores[:3]]
    planned = machine.cores[-1].cpus[0]
    found = control_cpus(machine, cpus, [planned])
    assert planned in found
    taken = {machine.core_of[cpu].number for cpu in cpus}
    assert not taken & {machine.core_of[cpu].number for cpu in found}
    assert {machine.core_of[cpu].node for cpu in found} == {machine.core_of[planned].node}


def test_where_workers_have_all_cores_others_have_what_is_left() -> None:
    machine = usable(find_topology("ryzen-5950x"), range(2))
    assert control_cpus(machine, [0, 1], []) == ()
    smt = find_topology("epyc-7763-2s-nps4")
    small = usable(smt, [*smt.cores[0].cpus])
    assert control_cpus(small, [smt.cores[0].cpus[0]], []) == (smt.cores[0].cpus[1],)


def test_only_cpus_that_the_process_may_use_are_planned_for() -> None:
    machine = usable(MACHINE, [3, 4, 70])
    assert sorted(machine.core_of) == [3, 4, 70]
    assert machine.nodes == MACHINE.nodes
    assert [core.number for core in machine.cores] == [0, 1, 2]
    assert usable(MACHINE, []) is MACHINE


def app() -> Any:
    import burstline as bl

    @bl.stage
    def nothing(pkt: Any) -> None:
        return None

    return bl.Pipeline(nothing)


def test_a_run_takes_its_workers_from_the_plan() -> None:
    config, placed = with_plan(Config(numa=Numa(plan="auto")), app(), ["net_null0"], None)
    assert isinstance(placed, Placement)
    assert config.engine.cores == placed.cores
    assert config.engine.workers == 1
    assert placed.pool_node("net_null0", 0) == this_machine().core_of[placed.cores[0]].node
    same = Config()
    assert with_plan(same, app(), ["net_null0"], None) == (same, None)


def test_cores_that_contradict_a_saved_plan_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    machine = this_machine()
    cpus = sorted(machine.core_of)
    node = machine.core_of[cpus[0]].node
    thread = {"name": "worker 0", "cpu": cpus[0], "node": node}
    path.write_text(json.dumps({"threads": [thread], "memories": [{"name": "pool net_null0 queue 0", "node": node}]}))
    config = Config(engine=Engine(cores=(cpus[-1] + 1,)), numa=Numa(plan=str(path)))
    with pytest.raises(UsageError, match="has workers on"):
        with_plan(config, app(), ["net_null0"], None)


def test_devices_that_are_no_hardware_are_where_the_settings_say() -> None:
    machine = find_topology("xeon-8180-4s-mesh")
    assert node_here("net_null0", machine, Config(numa=Numa(node=2))) == 2
    assert node_here("ring-loop,packets=64", machine, Config()) == machine.cores[0].node
    assert node_here("xdp,iface=nosuch0", machine, Config()) == machine.cores[0].node


def test_a_card_is_where_the_kernel_has_it_however_its_address_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    class Sysfs:
        def __init__(self, path: str) -> None:
            self.path = path

        def read_text(self) -> str:
            if self.path != "/sys/bus/pci/devices/0000:3b:00.0/numa_node":
                raise FileNotFoundError(self.path)
            return "3\n"

    monkeypatch.setattr(live_buffers, "Path", Sysfs)
    machine = find_topology("xeon-8180-4s-mesh")
    for device in ("0000:3b:00.0", "3b:00.0", "0000:3B:00.0", "pci:3b:00.0,a=1"):
        assert node_here(device, machine, Config()) == 3, device
    assert live_buffers.node_of("3c:00.0") == live_buffers.node_of("net_null0") == -1
