"""What users fix: a thread to a CPU or a node, memory to a node. Two that cannot both hold are an error naming both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burstline.errors import UsageError
from burstline.numa.demand import Demand
from burstline.numa.draw_text import ranges
from burstline.numa.topology import Topology

HINT = "write it as worker0=cpu:3, worker0=node:1 or flows=node:1"


@dataclass(frozen=True)
class Pin:
    """`what` is the name of a thread or memory, or the beginning of several (`pool`); `said` is what the user wrote."""

    what: str
    kind: Literal["cpu", "node"]
    number: int
    said: str

    @classmethod
    def of(cls, text: str) -> Pin:
        """`worker0=cpu:3`. Raises UsageError."""
        what, equals, where = text.partition("=")
        kind, _, number = where.partition(":")
        if not what.strip() or not equals or kind not in ("cpu", "node") or not number.isdigit():
            raise UsageError(f"--pin {text} fixes nothing", HINT)
        return cls(what.strip(), "cpu" if kind == "cpu" else "node", int(number), f"--pin {text}")


@dataclass(frozen=True)
class Pins:
    """By place in the demand: CPUs of threads, nodes of threads and memories, as numbers."""

    cpus: dict[int, int]
    thread_nodes: dict[int, int]
    memory_nodes: dict[int, int]


def resolve(pins: Sequence[Pin], machine: Topology, demand: Demand) -> Pins:
    """Raises UsageError for a pin of or to something that is not there, and for two that contradict each other."""
    cpus: dict[int, Pin] = {}
    nodes: dict[int, Pin] = {}
    memory: dict[int, Pin] = {}
    for pin in pins:
        threads = [k for k, thread in enumerate(demand.threads) if _names(pin.what, thread.name)]
        memories = [] if threads else [k for k, m in enumerate(demand.memories) if _names(pin.what, m.name)]
        if not threads and not memories:
            known = ", ".join(dict.fromkeys([*(t.name for t in demand.threads), *(m.name for m in demand.memories)]))
            raise UsageError(f"{pin.said}: there is no {pin.what}", f"there are {known[:300]}")
        if pin.kind == "cpu":
            _check_cpu(pin, machine, threads, demand)
            _put(cpus, threads, pin, demand.threads[threads[0]].name)
        else:
            if pin.number not in machine.index:
                raise UsageError(f"{pin.said}: {machine.name} has no node {pin.number}", _nodes(machine))
            if threads and not machine.cores_in(node=pin.number):
                raise UsageError(f"{pin.said}: node {pin.number} has no cores", _nodes(machine))
            for each, found in ((threads, nodes), (memories, memory)):
                if each:
                    _put(found, each, pin, pin.what)
    by_cpu: dict[int, tuple[str, Pin]] = {}
    for k, pin in cpus.items():
        name = demand.threads[k].name
        if pin.number in by_cpu:
            other, first = by_cpu[pin.number]
            raise UsageError(
                f"{first.said} and {pin.said} put {other} and {name} on one CPU", "give each thread a CPU of its own"
            )
        by_cpu[pin.number] = (name, pin)
        home = machine.core_of[pin.number].node
        if k in nodes and nodes[k].number != home:
            raise UsageError(
                f"{pin.said} and {nodes[k].said} contradict each other: CPU {pin.number} is on node {home}",
                "leave one of the two out",
            )
    _check_room(machine, demand, cpus, nodes)
    _check_memory(machine, demand, memory)
    return Pins(
        {k: pin.number for k, pin in cpus.items()},
        {k: machine.core_of[pin.number].node for k, pin in cpus.items()} | {k: pin.number for k, pin in nodes.items()},
        {k: pin.number for k, pin in memory.items()},
    )


def _names(word: str, name: str) -> bool:
    """`worker0` and `worker 0` are one; `flows` names the tables of that name, of all workers, `pool` all pools."""
    plain, wanted = name.replace(" ", ""), word.replace(" ", "")
    return plain == wanted or (
        not wanted[-1].isdigit() and (plain.startswith(wanted) or plain.removeprefix("table").startswith(wanted))
    )


def _put(found: dict[int, Pin], places: list[int], pin: Pin, name: str) -> None:
    for k in places:
        if k in found and found[k].number != pin.number:
            raise UsageError(f"{found[k].said} and {pin.said} contradict each other", f"fix {name} once")
        found[k] = pin


def _check_cpu(pin: Pin, machine: Topology, threads: list[int], demand: Demand) -> None:
    if not threads:
        raise UsageError(f"{pin.said}: {pin.what} is memory, which has no CPU", "fix it to a node")
    if len(threads) > 1:
        names = ", ".join(demand.threads[k].name for k in threads[:3])
        raise UsageError(f"{pin.said}: {pin.what} are {len(threads)} threads ({names}, ...)", "fix one thread to a CPU")
    if pin.number not in machine.core_of:
        raise UsageError(f"{pin.said}: {machine.name} has no CPU {pin.number}", f"it has {ranges([*machine.core_of])}")


def _check_room(machine: Topology, demand: Demand, cpus: dict[int, Pin], nodes: dict[int, Pin]) -> None:
    """More threads than CPUs of a node are told by the two pins that do not fit together."""
    taken: dict[int, list[Pin]] = {}
    for k in {*cpus} | {*nodes}:
        pin = cpus.get(k) or nodes[k]
        home = machine.core_of[pin.number].node if pin.kind == "cpu" else pin.number
        taken.setdefault(home, []).append(pin)
    for home, each in taken.items():
        room = sum(min(2, len(core.cpus)) for core in machine.cores_in(node=home))
        if len(each) > room:
            first, last = each[0].said, each[-1].said
            both = first if first == last else f"{first} and {last}"
            raise UsageError(
                f"{both}: {len(each)} threads are fixed to node {home}, which has room for {room}",
                "fix fewer, or to another node",
            )


def _check_memory(machine: Topology, demand: Demand, memory: dict[int, Pin]) -> None:
    if not any(node.memory for node in machine.nodes):
        return
    for node in machine.nodes:
        each = [(k, pin) for k, pin in memory.items() if pin.number == node.number]
        size = sum(demand.memories[k].size for k, _ in each)
        if size > node.memory:
            said = " and ".join(dict.fromkeys(pin.said for _, pin in (each[0], each[-1])))
            raise UsageError(
                f"{said}: {size:,} bytes are fixed to node {node.number}, which has {node.memory:,}", "fix less to it"
            )


def _nodes(machine: Topology) -> str:
    have = [node.number for node in machine.nodes if machine.cores_in(node=node.number)]
    return f"nodes with cores are {ranges(have)}, all are {ranges([*machine.index])}"
