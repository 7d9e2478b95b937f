"""Where the threads and the memory of a run belong: a plan, as far as a run can carry it out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from burstline.errors import UsageError
from burstline.numa.plan import Plan
from burstline.numa.topology import Topology

_WORKER = re.compile(r"worker (\d+)")
_POOL = re.compile(r"pool (.+) queue (\d+)")
_TABLE = re.compile(r"table (.+?)(?: of worker (\d+))?")
AGAIN = "make one for this machine: burstline plan APP PORTS --save FILE; or run with --plan auto"


@dataclass(frozen=True)
class Placement:
    """`cores` are the CPUs of workers, `control` those of all other threads (empty where none is to spare). Nodes are
    numbers: of pools by device and queue, of tables by name and worker, None for one that workers share. `told` says
    where it is from."""

    machine: Topology
    cores: tuple[int, ...]
    control: tuple[int, ...] = ()
    pools: Mapping[tuple[str, int], int] = field(default_factory=dict)
    tables: Mapping[tuple[str, int | None], int] = field(default_factory=dict)
    told: str = ""

    def node_of(self, worker: int) -> int:
        return self.machine.core_of[self.cores[worker]].node

    def pool_node(self, device: str, queue: int) -> int | None:
        """None where the plan says nothing of the port."""
        queues = [q for d, q in self.pools if d == device]
        return self.pools[device, queues[queue % len(queues)]] if queues else None

    def table_node(self, name: str, worker: int) -> int:
        """Small tables, which no plan names, are beside their worker."""
        own = self.tables.get((name, worker))
        shared = self.tables.get((name, None))
        return own if own is not None else shared if shared is not None else self.node_of(worker)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {
            "from": self.told,
            "cores": list(self.cores),
            "control": list(self.control),
            "pools": [{"device": d, "queue": q, "node": node} for (d, q), node in self.pools.items()],
            "tables": [{"name": n, "worker": w, "node": node} for (n, w), node in self.tables.items()],
        }


def placement_of(plan: Plan, machine: Topology, told: str) -> Placement:
    demand = plan.problem.demand
    threads = [(thread.name, cpu) for thread, cpu in zip(demand.threads, plan.cpus, strict=True)]
    memories = [(memory.name, node) for memory, node in zip(demand.memories, plan.nodes, strict=True)]
    return _placement(machine, threads, memories, told)


def load_placement(path: Path, machine: Topology, workers: int | None, devices: Sequence[str]) -> Placement:
    """What `burstline plan --save` or `--json` wrote, for a run on this machine. Raises UsageError for a file that is
    none, and for one of another machine, of other workers (None: as many as it has) or ports."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        threads = [(str(each["name"]), int(each["cpu"])) for each in told["threads"]]
        nodes = {str(each["name"]): int(each["node"]) for each in told["threads"]}
        memories = [(str(each["name"]), int(each["node"])) for each in told["memories"]]
        numbers = sorted(int(match[1]) for name, _ in threads if (match := _WORKER.fullmatch(name)))
        if not numbers or numbers != [*range(len(numbers))]:
            raise ValueError("workers are numbered from 0")
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}", "--plan is auto, off, or a file of `burstline plan --save`"
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError):
        raise UsageError(f"{path} is no plan", "write one: burstline plan APP PORTS --save FILE") from None
    for name, cpu in threads:
        if cpu not in machine.core_of:
            raise UsageError(
                f"{path}: {name} is on CPU {cpu}, which this process may not use or the machine has not", AGAIN
            )
        if machine.core_of[cpu].node != nodes[name]:
            here = machine.core_of[cpu].node
            raise UsageError(
                f"{path}: CPU {cpu} of {name} is on node {nodes[name]} there, and on node {here} here", AGAIN
            )
    if other := next((f"{name} is on node {node}" for name, node in memories if node not in machine.index), None):
        raise UsageError(f"{path}: {other}, which this machine has not", AGAIN)
    made = _placement(machine, threads, memories, str(path))
    if twice := next((cpu for cpu in made.cores if made.cores.count(cpu) > 1), None):
        raise UsageError(f"{path} has two workers on CPU {twice}", "give each worker a CPU of its own")
    if workers is not None and workers != len(made.cores):
        raise UsageError(f"{path} is for {len(made.cores)} workers, not {workers}", f"use --workers {len(made.cores)}")
    known = {device for device, _ in made.pools}
    if missing := next((device for device in devices if device not in known), None):
        have = ", ".join(f"dpdk:{device}" for device in sorted(known)) or "no port"
        raise UsageError(f"{path} says nothing of dpdk:{missing}, but of {have}", AGAIN)
    return made


def _placement(
    machine: Topology, threads: Iterable[tuple[str, int]], memories: Iterable[tuple[str, int]], told: str
) -> Placement:
    cpus: dict[int, int] = {}
    control: list[int] = []
    for name, cpu in threads:
        if match := _WORKER.fullmatch(name):
            cpus[int(match[1])] = cpu
        else:
            control.append(cpu)
    pools: dict[tuple[str, int], int] = {}
    tables: dict[tuple[str, int | None], int] = {}
    for name, node in memories:
        if match := _POOL.fullmatch(name):
            pools[match[1], int(match[2])] = node
        elif match := _TABLE.fullmatch(name):
            tables[match[1], None if match[2] is None else int(match[2])] = node
    cores = tuple(cpus[k] for k in sorted(cpus))
    return Placement(machine, cores, control_cpus(machine, cores, control), pools, tables, told)


def control_cpus(machine: Topology, workers: Sequence[int], planned: Sequence[int]) -> tuple[int, ...]:
    """CPUs for all that are no workers: those planned, and the others of their nodes on whose cores no worker is; else
    any that no worker has. Without a plan for them, on all nodes."""
    taken = {machine.core_of[cpu].number for cpu in workers if cpu in machine.core_of}
    homes = {machine.core_of[cpu].node for cpu in planned} or {core.node for core in machine.cores}
    beside = [c for core in machine.cores if core.node in homes and core.number not in taken for c in core.cpus]
    found = {*beside, *(cpu for cpu in planned if cpu not in workers)}
    return tuple(sorted(found or {*machine.core_of} - {*workers}))
