"""Writes a topology as the files that Linux has of such a machine."""

from __future__ import annotations

from pathlib import Path

from burstline.numa.topology import Topology


def write_tree(root: Path, machine: Topology) -> Path:
    """Fills `root` with sys/devices/system; returns it."""
    system = root / "sys/devices/system"
    for core in machine.cores:
        shared = [cpu for each in machine.cores_in(cache=core.cache) for cpu in each.cpus]
        size = machine.caches[core.cache].size
        for cpu in core.cpus:
            here = system / f"cpu/cpu{cpu}"
            _write(here / "topology/physical_package_id", core.package)
            _write(here / "topology/core_cpus_list", ",".join(map(str, core.cpus)))
            _write(here / "cache/index3/level", 3)
            _write(here / "cache/index3/size", f"{size // 1024}K")
            _write(here / "cache/index3/shared_cpu_list", ",".join(map(str, sorted(shared))))
    for node, row in zip(machine.nodes, machine.distances, strict=True):
        here = system / f"node/node{node.number}"
        cpus = sorted(cpu for core in machine.cores_in(node=node.number) for cpu in core.cpus)
        _write(here / "cpulist", ",".join(map(str, cpus)))
        _write(here / "distance", " ".join(map(str, row)))
        _write(here / "meminfo", f"Node {node.number} MemTotal:  {node.memory // 1024} kB")
        if node.bandwidth is not None and node.latency is not None:
            _write(here / "access1/initiators/read_bandwidth", round(node.bandwidth * 1000))
            _write(here / "access1/initiators/read_latency", round(node.latency))
    for device in machine.devices:
        here = root / "sys/bus/pci/devices" / device.address
        _write(here / "class", "0x020000")
        _write(here / "numa_node", -1 if device.node is None else device.node)
    return root


def _write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{value}\n")
