"""A plan carried out on a machine of several nodes: the kernel says that threads and memory are where the plan has
them; then a worker moves, and the kernel says so again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from lab_cards import MACHINE, RESULTS
from numa_maps import cpus_of, pages_of

from burstline.engine.placement.irqs import network_irqs
from burstline.numa.sysfs import cpu_list
from burstline.view.client import ask

HERE = Path(__file__).parent
DEVICE = "net_null0,size=64"
NODES = len(MACHINE.nodes)
FIRST = [sum(node.cpus for node in MACHINE.nodes[:k]) for k in range(NODES)]  # CPU of each node
MANY = 1000  # pages
NEXT = 2  # node that worker 0 moves to


class Placed:
    """A run of placed_run.py."""

    def __init__(self, folder: Path, settings: str) -> None:
        config = folder / "burstline.toml"
        config.write_text(settings)
        self.stats = folder / "stats"
        self.stats.mkdir()
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "BURSTLINE_CACHE": str(RESULTS / "cache"),
            "BURSTLINE_STATS": str(self.stats),
        }
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "placed_run.py"), str(config), DEVICE],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def look(self) -> dict[str, Any]:
        return self._ask("look")

    def stop(self) -> dict[str, Any]:
        report = self._ask("stop")
        assert self.process.wait() == 0
        return report

    def _ask(self, word: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        while line := self.process.stdout.readline():  # there may be lines of others before it
            if line.startswith("{"):
                found: dict[str, Any] = json.loads(line)
                return found
        raise AssertionError(f"the run ended with {self.process.wait()}")


@contextmanager
def placed(folder: Path, settings: str) -> Iterator[Placed]:
    run = Placed(folder, settings)
    try:
        yield run
    finally:
        with run.process as process:
            process.kill()


def write_plan(path: Path) -> None:
    """Workers on nodes 1 and 3, with what is their own beside them, but for the second one's table on node 0."""

    def thread(name: str, node: int) -> dict[str, Any]:
        return {"name": name, "node": node, "cpu": FIRST[node]}

    memories = {
        f"pool {DEVICE} queue 0": 1, f"pool {DEVICE} queue 1": 3,
        "table flows of worker 0": 1, "table flows of worker 1": 0, "table blocked": 2,
    }  # fmt: skip
    threads = [thread("worker 0", 1), thread("worker 1", 3), thread("control 0", 0)]
    path.write_text(
        json.dumps({"threads": threads, "memories": [{"name": n, "node": node} for n, node in memories.items()]})
    )


def check(look: dict[str, Any], homes: dict[str, int], cpus: list[int]) -> None:
    """By the kernel alone: affinity of the workers, pages of what is in `homes`."""
    pid, tids = look["pid"], {int(worker): tid for worker, tid in look["tids"].items()}
    assert [cpus_of(pid, tids[k]) for k in range(len(cpus))] == [str(cpu) for cpu in cpus]
    memory = {each["name"]: each for each in look["memory"]}
    seen = {name: pages_of(pid, memory[name]["ranges"]) for name in homes}
    print(json.dumps({name: dict(pages) for name, pages in seen.items()}))
    assert {name: set(pages) for name, pages in seen.items()} == {name: {node} for name, node in homes.items()}


def check_others(look: dict[str, Any], allowed: set[int]) -> None:
    pid, workers = look["pid"], set(look["tids"].values())
    for task in Path(f"/proc/{pid}/task").iterdir():
        if int(task.name) not in workers:
            assert {*cpu_list(cpus_of(pid, int(task.name)))} <= allowed, (task / "comm").read_text()


def homes(first: int) -> dict[str, int]:
    """Of a run by the plan, with worker 0 on a node."""
    own = {f"{kind} of worker {k}": node for k, node in ((0, first), (1, 3)) for kind in ("memory", "code", "stack")}
    return own | {"table flows of worker 0": first, "table flows of worker 1": 0, "table blocked": 2}


def test_all_is_where_the_plan_says_and_moves_with_its_worker(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    write_plan(plan)
    with placed(tmp_path, f'[engine]\nworkers = 2\n[numa]\nplan = "{plan}"\n') as run:
        look = run.look()
        check(look, homes(1), [FIRST[1], FIRST[3]])
        check_others(look, {*range(FIRST[3] + MACHINE.nodes[3].cpus)} - {FIRST[1], FIRST[3]})
        for node, ranges in look["pools"].items():
            assert set(pages_of(look["pid"], ranges)) == {int(node)}, "huge pages of each pool"
        assert set(look["pools"]) == {"1", "3"}
        assert look["told"]["misplaced"] == []

        (served,) = run.stats.glob("*.sock")
        done = ask(served, "move", worker=0, cpu=FIRST[NEXT])
        print(done["text"])
        assert done["memory"]["table flows of worker 0"]["moved"] > MANY
        assert sum(each["stayed"] for each in done["memory"].values()) == 0
        assert done["stays"] == [[f"pool dpdk:{DEVICE} queue 0", 1]]
        look = run.look()
        check(look, homes(NEXT), [FIRST[NEXT], FIRST[3]])
        before = look["told"]["where"]
        assert {t["worker"]: t["cpus"] for t in before["threads"]}[0] == [FIRST[NEXT]]
        report = run.stop()
    assert report["balanced"]
    assert report["packets_in"] == report["packets_out"] > 0
    assert [move["node"] for move in report["placement"]["moves"]] == [NEXT]


@pytest.mark.skipif(not MACHINE.nics, reason="the machine has no card of the kernel's")
def test_a_plan_is_made_for_the_machine_and_interrupts_keep_off_its_workers(tmp_path: Path) -> None:
    cards = [irq for irq in network_irqs() if "virtio" in irq.name]
    file = Path(f"/proc/irq/{cards[0].number}/smp_affinity_list")
    file.write_text(f"0-{FIRST[-1]}")
    with placed(tmp_path, '[engine]\nworkers = 1\n[numa]\nplan = "auto"\nnode = 3\n') as run:
        look = run.look()
        told = look["told"]["plan"]
        (cpu,) = told["cores"]
        assert FIRST[3] <= cpu < FIRST[3] + MACHINE.nodes[3].cpus, "beside its buffers"
        check(look, {each["name"]: each["home"] for each in look["memory"]}, [cpu])
        check_others(look, {*told["control"]})
        assert list(look["pools"]) == ["3"]
        assert cpu not in cpu_list(file.read_text())
        run.stop()
    assert file.read_text().strip() == f"0-{FIRST[-1]}", "as it was"
