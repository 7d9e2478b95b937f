"""The part of a machine that a process may use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from burstline.numa.topology import Topology


def usable(machine: Topology, cpus: Iterable[int]) -> Topology:
    """The machine with these CPUs only. Nodes and caches stay, also those of which no core is left: memory there may
    be had. Without any of the CPUs, the machine as it is."""
    allowed = {*cpus}
    cores = []
    for core in machine.cores:
        if left := tuple(cpu for cpu in core.cpus if cpu in allowed):
            cores.append(replace(core, cpus=left))
    if not cores:
        return machine
    number = {core.number: k for k, core in enumerate(cores)}
    return replace(machine, cores=tuple(replace(core, number=number[core.number]) for core in cores))
