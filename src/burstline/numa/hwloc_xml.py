"""The topology in a file that `lstopo machine.xml` wrote, of hwloc 1.x, 2.x or 3.x.

Of its objects (hwloc2.dtd) packages, NUMA nodes, L3 caches, cores, PUs and network devices count; of its matrices the
latencies between NUMA nodes; of its memory attributes a node's bandwidth and latency as its own cores see them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from burstline.errors import UsageError
from burstline.numa.topology import LOCAL, MOST_DISTANCE, Cache, Core, Device, Node, Topology, assumed_distances

MIB = 1 << 20


@dataclass
class _Memory:
    number: int
    cpus: frozenset[int]
    size: int
    kind: str
    gp: str


@dataclass
class _Found:
    """What a walk over the objects finds; PUs with the index of the package, L3 and core that they lie in."""

    version: float
    memories: list[_Memory] = field(default_factory=list)
    pus: list[tuple[int, int | None, int | None, int | None]] = field(default_factory=list)
    l3_sizes: list[int] = field(default_factory=list)
    cores: int = 0
    devices: list[tuple[str, frozenset[int], float | None, str]] = field(default_factory=list)

    def is_network(self, device: ElementTree.Element) -> bool:
        """HWLOC_OBJ_OSDEV_NETWORK is 2 up to hwloc 2, and a bit since 3."""
        kind = int(device.get("osdev_type", "0"))
        return bool(kind & 16) if self.version >= 3 else kind == 2


def read_hwloc_xml(file: Path) -> Topology:
    """The machine in an XML file of hwloc's. Raises UsageError for what is no such file; OSError."""
    hint = f"write one on the machine: lstopo {file.name}"
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except ElementTree.ParseError as error:
        raise UsageError(f"{file}: not XML: {error}", hint) from error
    if root.tag != "topology":
        raise UsageError(f"{file}: its root is <{root.tag}>, not <topology>", hint)
    found = _Found(float(root.get("version", "1")))
    for top in root.iter("object"):
        _walk(top, found, None, None, None, frozenset())
        break
    if not found.pus:
        raise UsageError(f"{file}: has no PU", hint)
    every = frozenset(pu[0] for pu in found.pus)
    memories = sorted(found.memories, key=lambda m: m.number) or [_Memory(0, every, 0, "DRAM", "")]
    node_of = {pu[0]: _home(pu[0], memories) for pu in found.pus}
    cores, caches = _cores(found, node_of)
    package = {core.node: core.package for core in reversed(cores)}
    bandwidth, latency = _attribute(root, "Bandwidth"), _attribute(root, "Latency")
    nodes = tuple(
        Node(
            m.number, package.get(m.number), m.size,
            bandwidth[m.gp] * MIB / 1e9 if m.gp in bandwidth else None, latency.get(m.gp),
            m.kind or ("DRAM" if m.number in package else "memory"),
        )
        for m in memories
    )  # fmt: skip
    return Topology(
        file.stem, nodes, caches, cores, _distances(root, [m.number for m in memories]),
        devices=_devices(found, memories), source=f"hwloc, {file.name}",
    )  # fmt: skip


def cpu_set(text: str | None) -> frozenset[int]:
    """`0x00000003,0x00000001` of hwloc, words of 32 bits and the highest first, as numbers."""
    words = [int(word or "0", 16) for word in (text or "").split(",")] if text else []
    value = sum(word << 32 * k for k, word in enumerate(reversed(words)))
    return frozenset(bit for bit in range(value.bit_length()) if value >> bit & 1)


def _walk(
    at: ElementTree.Element, found: _Found, package: int | None, l3: int | None, core: int | None, here: frozenset[int]
) -> None:
    kind = at.get("type", "")
    here = cpu_set(at.get("cpuset")) or here
    index = int(at.get("os_index", "0"))
    if kind in ("Package", "Socket"):
        package = index
    elif kind == "L3Cache" or (kind == "Cache" and at.get("depth") == "3"):
        l3 = len(found.l3_sizes)
        found.l3_sizes.append(int(at.get("cache_size", "0")))
    elif kind == "Core":
        core, found.cores = found.cores, found.cores + 1
    elif kind == "PU":
        found.pus.append((index, package, l3, core))
    elif kind == "NUMANode":
        cpus = cpu_set(at.get("cpuset"))
        found.memories.append(
            _Memory(index, cpus, int(at.get("local_memory", "0")), at.get("subtype", ""), at.get("gp_index", ""))
        )
    elif kind == "PCIDev" and at.get("pci_type", "").startswith("02"):
        speed = float(at.get("pci_link_speed", "0"))
        names = [o.get("name", "") for o in at.iter("object") if o.get("type") == "OSDev" and found.is_network(o)]
        found.devices.append((at.get("pci_busid", ""), here, speed or None, names[0] if names else ""))
    for below in at.findall("object"):
        _walk(below, found, package, l3, core, here)


def _home(cpu: int, memories: list[_Memory]) -> int:
    """The node of a CPU: the smallest one around it; of DRAM and HBM around the same cores the first, as in Linux."""
    around = [m for m in memories if cpu in m.cpus]
    return min(around or memories, key=lambda m: (len(m.cpus), m.number)).number


def _cores(found: _Found, node_of: dict[int, int]) -> tuple[tuple[Core, ...], tuple[Cache, ...]]:
    threads: dict[tuple[int, int, int, int], list[int]] = {}
    shared: dict[int, int] = {}
    for pu, package, l3, core in found.pus:
        node = node_of[pu]
        key = (node, -1 if l3 is None else l3, node if package is None else package, -1 - pu if core is None else core)
        threads.setdefault(key, []).append(pu)
        if l3 is not None:
            shared[l3] = shared.get(l3, 0) + 1
    groups: dict[tuple[int, int], int] = {}
    for (node, l3, _, _), pus in threads.items():
        groups[node, l3] = groups.get((node, l3), 0) + len(pus)
    order = {group: k for k, group in enumerate(sorted(groups))}
    caches = tuple(
        # An L3 around several nodes (sub-NUMA clusters) is sliced: each node has its part of it.
        Cache(k, node, round(found.l3_sizes[l3] * groups[node, l3] / shared[l3]) if l3 >= 0 else 0)
        for (node, l3), k in order.items()
    )
    made = sorted(threads.items(), key=lambda item: (order[item[0][0], item[0][1]], min(item[1])))
    return tuple(
        Core(k, key[2], key[0], order[key[0], key[1]], tuple(sorted(pus))) for k, (key, pus) in enumerate(made)
    ), caches


def _distances(root: ElementTree.Element, numbers: list[int]) -> tuple[tuple[int, ...], ...]:
    """Version 2 has matrices below the root, version 1 below the object whose nodes they are of."""
    for at in root.iter("distances2"):
        if at.get("type") != "NUMANode" or not int(at.get("kind", "0")) & 4:  # HWLOC_DISTANCES_KIND_MEANS_LATENCY
            continue
        indexes, values = list(_words(at, "indexes")), list(_words(at, "u64values"))
        if at.get("indexing") != "os" or sorted(indexes) != numbers or len(values) != len(numbers) ** 2:
            continue
        place = {n: k for k, n in enumerate(indexes)}
        return tuple(tuple(values[place[a] * len(numbers) + place[b]] for b in numbers) for a in numbers)
    for at in root.iter("distances"):
        row = [float(value.get("value", "0")) for value in at.findall("latency")]
        if len(row) == len(numbers) ** 2:
            width = len(numbers)
            scaled = [min(MOST_DISTANCE, round(value * LOCAL)) for value in row]
            return tuple(tuple(scaled[a * width : (a + 1) * width]) for a in range(width))
    return assumed_distances(len(numbers))


def _words(at: ElementTree.Element, tag: str) -> Iterator[int]:
    for part in at.findall(tag):
        yield from map(int, (part.text or "").split())


def _attribute(root: ElementTree.Element, name: str) -> dict[str, float]:
    """A memory attribute by the node's gp_index, from the initiator whose value is best: that is its own cores."""
    found: dict[str, float] = {}
    best = max if name == "Bandwidth" else min
    for at in root.iter("memattr"):
        if at.get("name") != name:
            continue
        for value in at.findall("memattr_value"):
            target, said = value.get("target_obj_gp_index", ""), float(value.get("value", "0"))
            if value.get("target_obj_type") == "NUMANode" and said:
                found[target] = best(found.get(target, said), said)
    return found


def _devices(found: _Found, memories: list[_Memory]) -> tuple[Device, ...]:
    made = []
    for address, cpus, bandwidth, name in found.devices:
        around = {_home(cpu, memories) for cpu in cpus}
        made.append(Device(address, around.pop() if len(around) == 1 else None, bandwidth, name))
    return tuple(sorted(made, key=lambda device: device.address))
