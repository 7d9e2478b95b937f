"""Where the workers of a simulation are: spread over a machine, or near its ports."""

from __future__ import annotations

from collections.abc import Sequence

from burstline.errors import UsageError
from burstline.numa.topology import Core, Topology

PLACED = ("spread", "near")


def ports_of(machine: Topology, count: int = 1) -> tuple[int, ...]:
    """Nodes, by number, of the machine's network devices, as many as there are up to `count`; else of the first node
    with cores."""
    told = [device.node for device in machine.devices if device.node is not None]
    return tuple(told[:count]) or (machine.cores[0].node,)


def placed(machine: Topology, workers: int, ports: Sequence[int], how: str = "spread") -> tuple[int, ...]:
    """CPUs of so many workers, a core each as long as there are any: `spread` over all nodes in turn, or `near` the
    ports, node after node. Raises UsageError for more workers than threads."""
    if not 1 <= workers <= machine.threads:
        problem = f"{workers} workers on {machine.name}, which has {machine.threads} threads"
        raise UsageError(problem, f"give 1 to {machine.threads} workers")

    def apart(node: int) -> int:
        return min(machine.distance(node, port) for port in ports)

    nodes = sorted({core.node for core in machine.cores}, key=lambda node: (apart(node), node))
    found: list[tuple[tuple[int, ...], int]] = []  # what they are ordered by, and the CPU
    for number, node in enumerate(nodes):
        for turn, core in enumerate(_by_turns(machine.cores_in(node=node))):
            for thread, cpu in enumerate(core.cpus):
                order = (thread, turn, number) if how == "spread" else (thread, apart(node), number, turn)
                found.append((order, cpu))
    return tuple(cpu for _, cpu in sorted(found)[:workers])


def _by_turns(cores: Sequence[Core]) -> list[Core]:
    """One of each L3 domain, then a second one of each."""
    seen: dict[int, int] = {}
    order = []
    for core in cores:
        seen[core.cache] = seen.get(core.cache, 0) + 1
        order.append((seen[core.cache], core.number, core))
    return [core for _, _, core in sorted(order, key=lambda one: one[:2])]
