"""What of a run is not where it belongs, and what mends that: a pure function of a machine and of where things are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from burstline.numa.draw_text import ranges
from burstline.numa.topology import Topology

ELSEWHERE = 0.1  # of the pages of a table, from which on it is misplaced
PLAN = "burstline run ... --plan auto"


@dataclass(frozen=True)
class ThreadAt:
    """A thread, and the CPUs that it may run on. `worker` is its number, -1 of one that only polls for others (the
    director), None of all others; `planned` the CPU that a plan gave it."""

    name: str
    tid: int
    cpus: tuple[int, ...]
    worker: int | None = None
    planned: int | None = None


@dataclass(frozen=True)
class MemoryAt:
    """Memory, and how many of its pages were found on which node. `workers` use it; of a pool, `port` fills it;
    `planned` is the node that a plan gave it."""

    name: str
    kind: str
    pages: Mapping[int, int]
    workers: tuple[int, ...] = ()
    planned: int | None = None
    port: str = ""


@dataclass(frozen=True)
class PortAt:
    """A port, its node (None of one that is no hardware), and the workers that poll it."""

    name: str
    node: int | None
    workers: tuple[int, ...] = ()


@dataclass(frozen=True)
class IrqAt:
    """An interrupt of a network card, and the CPUs that it comes to."""

    number: int
    name: str
    cpus: tuple[int, ...]


@dataclass(frozen=True)
class Where:
    """Where all of a run is."""

    threads: tuple[ThreadAt, ...] = ()
    memories: tuple[MemoryAt, ...] = ()
    ports: tuple[PortAt, ...] = ()
    irqs: tuple[IrqAt, ...] = ()

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Where:
        """From what `as_json` gave, through JSON."""

        def tuples(each: Mapping[str, Any]) -> dict[str, Any]:
            return {key: tuple(value) if isinstance(value, list) else value for key, value in each.items()}

        memories = [{**m, "pages": {int(n): count for n, count in m["pages"].items()}} for m in told["memories"]]
        return cls(
            tuple(ThreadAt(**tuples(each)) for each in told["threads"]),
            tuple(MemoryAt(**tuples(each)) for each in memories),
            tuple(PortAt(**tuples(each)) for each in told["ports"]),
            tuple(IrqAt(**tuples(each)) for each in told["irqs"]),
        )


@dataclass(frozen=True)
class Misplaced:
    """What is wrong, and the command or setting that mends it."""

    what: str
    fix: str

    def as_json(self) -> dict[str, str]:
        return asdict(self)


def misplaced(machine: Topology, where: Where) -> list[Misplaced]:
    """All of it, threads first. What a plan has put somewhere is measured by the plan, and else by what is near."""
    view = _View(machine, where)
    return [
        *_threads(view), *_siblings(view), *_ports(view), *_memories(view), *_interrupts(view), *_control(view),
    ]  # fmt: skip


class _View:
    """What is asked of both again and again."""

    def __init__(self, machine: Topology, where: Where) -> None:
        self.machine, self.where = machine, where
        self.workers = {t.worker: t for t in where.threads if t.worker is not None and t.worker >= 0}
        polling = [thread for thread in where.threads if thread.worker is not None]
        self.taken = {cpu for thread in polling for cpu in thread.cpus if len(thread.cpus) == 1}
        self.busy = {machine.core_of[cpu].number for cpu in self.taken if cpu in machine.core_of}
        self.spare = {*machine.core_of} - self.taken

    def node(self, worker: int) -> int | None:
        """Of the one node that the worker is on."""
        thread = self.workers.get(worker)
        nodes = {self.machine.core_of[cpu].node for cpu in thread.cpus if cpu in self.machine.core_of} if thread else ()
        return next(iter(nodes)) if len(nodes) == 1 else None

    def free_core(self, node: int) -> int | None:
        """The first CPU of a core of a node on which nobody polls."""
        cores = [c for c in self.machine.cores_in(node=node) if c.number not in self.busy]
        return cores[0].cpus[0] if cores else None

    def cores_with(self, changes: Mapping[int, int]) -> str:
        """`--cores` with the CPUs of some workers changed."""
        now = {worker: thread.cpus[0] for worker, thread in self.workers.items()} | dict(changes)
        return f"--cores {','.join(str(now[worker]) for worker in sorted(now))}"


def _threads(view: _View) -> Iterator[Misplaced]:
    for worker, thread in view.workers.items():
        if thread.planned is not None and thread.cpus != (thread.planned,):
            yield Misplaced(
                f"worker {worker} may run on CPU {ranges([*thread.cpus])}, and the plan has it on {thread.planned}",
                f"burstline move worker{worker} --cpu {thread.planned}",
            )
        elif len(thread.cpus) != 1:
            yield Misplaced(
                f"worker {worker} is not pinned: it may run on CPUs {ranges([*thread.cpus])}",
                f"burstline move worker{worker} --cpu {min(thread.cpus)}",
            )


def _siblings(view: _View) -> Iterator[Misplaced]:
    by_core: dict[int, list[int]] = {}
    for worker, thread in view.workers.items():
        if len(thread.cpus) == 1 and thread.cpus[0] in view.machine.core_of and thread.planned is None:
            by_core.setdefault(view.machine.core_of[thread.cpus[0]].number, []).append(worker)
    for core in (core for core in view.machine.cores if len(by_core.get(core.number, ())) > 1):
        workers = by_core[core.number]
        free = view.free_core(core.node)
        if free is not None:
            yield Misplaced(
                f"workers {_list(workers)} share a core (CPUs {ranges([*core.cpus])}), and CPU {free} is on a free one",
                f"burstline move worker{workers[-1]} --cpu {free}; next time {view.cores_with({workers[-1]: free})}",
            )


def _ports(view: _View) -> Iterator[Misplaced]:
    for port in view.where.ports:
        far = [
            w
            for w in port.workers
            if port.node is not None and view.node(w) not in (None, port.node) and view.workers[w].planned is None
        ]
        free = None if port.node is None else view.free_core(port.node)
        for worker in far[:1] if free is not None else ():
            assert port.node is not None
            others = f" and {len(far) - 1} other workers" if len(far) > 1 else ""
            yield Misplaced(
                f"{port.name} is on node {port.node}, and worker {worker}{others} that polls it on node "
                f"{view.node(worker)} (distance {view.machine.distance(view.node(worker) or 0, port.node)})",
                f"{PLAN}, or {view.cores_with({worker: free or 0})}",
            )


def _memories(view: _View) -> Iterator[Misplaced]:
    nodes = {port.name: port.node for port in view.where.ports}
    for memory in view.where.memories:
        pages = sum(memory.pages.values())
        homes = {view.node(worker) for worker in memory.workers} - {None}
        homes |= {nodes.get(memory.port)} - {None}
        homes = {memory.planned} if memory.planned is not None else homes
        away = {node: count for node, count in memory.pages.items() if node not in homes}
        if not homes or not pages or sum(away.values()) <= ELSEWHERE * pages:
            continue
        node = max(away, key=lambda n: away[n])
        said = f"{memory.name} lies on node {node}"
        if sum(away.values()) < pages:
            said = f"{100 * sum(away.values()) // pages} % of {memory.name} lies on node {ranges([*away])}"
        said += f", and {'the plan has it' if memory.planned is not None else 'who uses it is'} on "
        said += f"node {ranges([h for h in homes if h is not None])}"
        yield Misplaced(said, _memory_fix(view, memory, min(h for h in homes if h is not None)))


def _memory_fix(view: _View, memory: MemoryAt, home: int) -> str:
    if memory.kind == "pool":
        return (
            f"{PLAN}, or [numa] node = {home}; its huge pages: "
            f"echo 512 > /sys/devices/system/node/node{home}/hugepages/hugepages-2048kB/nr_hugepages"
        )
    worker = memory.workers[0] if len(memory.workers) == 1 else -1
    thread = view.workers.get(worker)
    if thread is None or len(thread.cpus) != 1 or view.node(worker) != home:  # what is planned elsewhere stays there
        return PLAN
    return f"burstline move worker{worker} --cpu {thread.cpus[0]}   (which has its memory follow)"


def _interrupts(view: _View) -> Iterator[Misplaced]:
    for irq in view.where.irqs:
        hit = [w for w, thread in view.workers.items() if len(thread.cpus) == 1 and thread.cpus[0] in irq.cpus]
        if hit and view.spare and len(irq.cpus) <= len(view.taken):
            yield Misplaced(
                f"interrupt {irq.number} of a network card ({irq.name}) comes to CPU {ranges([*irq.cpus])}, of worker "
                f"{_list(hit)}",
                f"echo {ranges([*view.spare])} > /proc/irq/{irq.number}/smp_affinity_list; {PLAN} does that",
            )


def _control(view: _View) -> Iterator[Misplaced]:
    on = [t for t in view.where.threads if t.worker is None and view.taken & {*t.cpus}]
    if not on or not view.spare:
        return
    workers = [w for w, t in view.workers.items() if any({*t.cpus} & {*other.cpus} for other in on)]
    named = _list(list(dict.fromkeys(thread.name for thread in on)))
    whose = f"worker {_list(workers)}" if workers else "the director"
    yield Misplaced(
        f"{len(on)} other thread{'s' * (len(on) > 1)} ({named}) may run on the CPU of {whose}",
        f"{PLAN}, or taskset -pc {ranges([*view.spare])} {on[0].tid}",
    )


def _list(items: Sequence[object]) -> str:
    shown = [str(item) for item in items]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"
