"""The topology that a Linux kernel tells, of this machine or of a recorded tree.

/sys/devices/system/{cpu,node} (Documentation/ABI/stable/sysfs-devices-node, admin-guide/cputopology.rst), latency and
bandwidth from ACPI's HMAT (admin-guide/mm/numaperf.rst), and /sys/bus/pci/devices.
"""

from __future__ import annotations

import re
from pathlib import Path

from burstline.errors import UsageError
from burstline.numa.topology import Cache, Core, Device, Node, Topology, assumed_distances

NETWORK = 0x02  # the class of network controllers: PCI Code and ID Assignment, section 1
# GB/s of a PCIe lane each way, by its rate in GT/s: 8b/10b up to 5, 128b/130b up to 32, FLITs above (PCIe 6.0).
LANES = {2.5: 0.25, 5.0: 0.5, 8.0: 0.985, 16.0: 1.969, 32.0: 3.938, 64.0: 7.563}


def read_sysfs(root: Path = Path("/"), name: str = "this machine") -> Topology:
    """The topology below `root`, a directory that has `sys/devices/system/cpu`. Raises UsageError."""
    system = root / "sys/devices/system"
    cpus = sorted(number for number in _numbered(system / "cpu", "cpu") if _online(system, number))
    if not cpus:
        raise UsageError(
            f"{system / 'cpu'} has no CPU that is online", "name a directory with sys/devices/system/cpu below it"
        )
    numbers = [
        n for n in sorted(_numbered(system / "node", "node")) if _list(system / f"node/node{n}") or _size(system, n)
    ]
    of = {cpu: n for n in numbers for cpu in _list(system / f"node/node{n}") if cpu in set(cpus)}
    if not numbers or set(of) != set(cpus):
        numbers, of = [0], dict.fromkeys(cpus, 0)  # a kernel without NUMA has no directory of nodes
    cores, caches = _cores(system, cpus, of)
    package = {core.node: core.package for core in reversed(cores)}  # the first, where a node has several
    nodes = tuple(
        Node(
            n,
            package.get(n),
            _size(system, n) or (_meminfo(root / "proc/meminfo", "MemTotal") if len(numbers) == 1 else 0),
            _hmat(system, n, "read_bandwidth", 1e-3),
            _hmat(system, n, "read_latency", 1.0),
            "DRAM" if n in package else "memory",
        )
        for n in numbers
    )
    return Topology(
        name,
        nodes,
        caches,
        cores,
        _distances(system, numbers),
        devices=_devices(root, numbers, of),
        source=f"Linux, {root}",
    )


def cpu_list(text: str) -> list[int]:
    """`0-3,8` of the kernel as numbers."""
    parts = [part.split(":")[0].partition("-") for part in text.split(",") if part.strip()]
    return [cpu for low, _, high in parts for cpu in range(int(low), int(high or low) + 1)]


def cpu_mask(text: str) -> list[int]:
    """`ff,00000001` of the kernel, words of 32 bits, as numbers."""
    value = int(text.replace(",", ""), 16)
    return [cpu for cpu in range(value.bit_length()) if value >> cpu & 1]


def _numbered(directory: Path, prefix: str) -> list[int]:
    found = (re.fullmatch(rf"{prefix}(\d+)", path.name) for path in directory.glob(f"{prefix}[0-9]*"))
    return [int(match[1]) for match in found if match]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip("\0 \n")  # recordings may end in zeros
    except (OSError, UnicodeDecodeError):
        return ""


def _integer(path: Path) -> int | None:
    text = _text(path)
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _online(system: Path, cpu: int) -> bool:
    here = system / f"cpu/cpu{cpu}"
    return _text(here / "online") != "0" and (
        (here / "topology").is_dir() or cpu in cpu_list(_text(system / "cpu/online"))
    )


def _list(directory: Path, lists: str = "cpulist", masks: str = "cpumap") -> list[int]:
    """CPUs from whichever of two files a kernel has: lists came later."""
    text = _text(directory / lists)
    if text:
        return cpu_list(text)
    text = _text(directory / masks)
    return cpu_mask(text) if text else []


def _meminfo(file: Path, word: str) -> int:
    found = re.search(rf"{word}:\s+(\d+) kB", _text(file))
    return int(found[1]) * 1024 if found else 0


def _size(system: Path, node: int) -> int:
    return _meminfo(system / f"node/node{node}/meminfo", "MemTotal")


def _hmat(system: Path, node: int, word: str, factor: float) -> float | None:
    """Seen by the nearest initiator: class 1 are CPUs alone, class 0 any device."""
    for access in ("access1", "access0"):
        value = _integer(system / f"node/node{node}/{access}/initiators/{word}")
        if value:
            return value * factor
    return None


def _cores(system: Path, cpus: list[int], of: dict[int, int]) -> tuple[tuple[Core, ...], tuple[Cache, ...]]:
    alive = set(cpus)
    groups: dict[tuple[int, tuple[int, ...]], int] = {}
    seen: dict[tuple[int, ...], tuple[int, int, tuple[int, tuple[int, ...]]]] = {}
    for cpu in cpus:
        here = system / f"cpu/cpu{cpu}"
        listed = _list(here / "topology", "core_cpus_list", "core_cpus")
        listed = listed or _list(here / "topology", "thread_siblings_list", "thread_siblings") or [cpu]
        threads = tuple(sorted({cpu, *(alive & {*listed})}))
        if threads in seen:
            continue
        package = _integer(here / "topology/physical_package_id")
        shared, size = _l3(here)
        # Sub-NUMA clusters slice the L3 that firmware still describes as one: each node has its part of it.
        together = tuple(c for c in cpus if c in shared and of[c] == of[cpu]) or tuple(
            c for c in cpus if of[c] == of[cpu]
        )
        part = len(together) / len(alive & shared) if alive & shared else 1.0
        groups.setdefault((of[cpu], together), round(size * part))
        seen[threads] = (of[cpu] if package in (None, -1) else int(package or 0), of[cpu], (of[cpu], together))
    order = {group: k for k, group in enumerate(sorted(groups, key=lambda g: (g[0], g[1])))}
    caches = tuple(Cache(order[group], group[0], groups[group]) for group in order)
    made = sorted(seen.items(), key=lambda item: (item[1][1], order[item[1][2]], item[0]))
    cores = tuple(Core(k, package, node, order[group], cpus) for k, (cpus, (package, node, group)) in enumerate(made))
    return cores, caches


def _l3(cpu: Path) -> tuple[set[int], int]:
    """The CPUs that share the last cache of level 3, and its bytes; nobody and 0 where there is none."""
    for index in sorted((cpu / "cache").glob("index[0-9]*")):
        if _integer(index / "level") == 3:
            size = re.fullmatch(r"(\d+)K", _text(index / "size"))
            return {*_list(index, "shared_cpu_list", "shared_cpu_map")}, int(size[1]) * 1024 if size else 0
    return set(), 0


def _distances(system: Path, numbers: list[int]) -> tuple[tuple[int, ...], ...]:
    """Rows of the SLIT, without nodes that have neither memory nor CPUs."""
    every = sorted(_numbered(system / "node", "node"))
    rows = [_text(system / f"node/node{n}/distance").split() for n in numbers]
    if any(len(row) != len(every) for row in rows):
        return assumed_distances(len(numbers))
    keep = [k for k, n in enumerate(every) if n in numbers]
    return tuple(tuple(int(row[k]) for k in keep) for row in rows)


def _devices(root: Path, numbers: list[int], of: dict[int, int]) -> tuple[Device, ...]:
    found = []
    for path in sorted((root / "sys/bus/pci/devices").glob("*:*:*.*")):
        kind = _text(path / "class")
        if not kind or int(kind, 16) >> 16 != NETWORK:
            continue
        node = _integer(path / "numa_node")
        if node not in numbers:  # -1: firmware does not tell
            near = {of[cpu] for cpu in _list(path, "local_cpulist", "local_cpus") if cpu in of}
            node = near.pop() if len(near) == 1 else numbers[0] if len(numbers) == 1 else None
        rate, lanes = re.match(r"([\d.]+)", _text(path / "current_link_speed")), _integer(path / "current_link_width")
        lane = LANES.get(float(rate[1])) if rate else None
        names = sorted(p.name for p in (path / "net").glob("*")) if (path / "net").is_dir() else []
        found.append(Device(path.name, node, lane * lanes if lane and lanes else None, names[0] if names else ""))
    return tuple(found)
