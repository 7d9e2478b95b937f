"""Machines as TOML: a whole one, or what firmware does not tell of another one.

source = "where this is written"
synthetic = "pack:2 numa:1(memory=64GB) l3:1(size=32MB) core:16 pu:2"
distances = [[10, 21], [21, 10]]
[[node]]
number = 0
bandwidth = 131.0
[[link]]
between = ["n0", "n1"]
bandwidth = 41.6
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, cast

from burstline.errors import UsageError
from burstline.numa.synthetic import is_synthetic, read_synthetic, size_of
from burstline.numa.topology import LOCAL, MOST_DISTANCE, Device, Link, Node, Topology
from burstline.schema import (
    Conflict,
    Place,
    Reader,
    Rule,
    integer,
    key,
    many,
    one_of,
    required,
    sections,
    text,
)

SIBLINGS = ("next", "last")
ROUTING = ("hops", "widest")
_RATE = Rule("GB/s above 0", lambda v: type(v) in (int, float) and 0 < v < 1e6)
_TIME = Rule("ns above 0", lambda v: type(v) in (int, float) and 0 < v < 1e6)


@dataclass(frozen=True)
class NodeSettings:
    """`[[node]]`: what is known of a memory node; with `memory`, also one without cores that nobody else tells of."""

    number: int = field(metadata=required(integer(0, 1023)))
    memory: str | None = key(None, text('a size, such as "64GB"'))
    bandwidth: float | None = key(None, _RATE)
    latency: float | None = key(None, _TIME)
    kind: str | None = key(None, text())

    def conflict(self) -> Conflict | None:
        try:
            size_of(self.memory or "0")
        except UsageError as error:
            return Conflict("memory", f"is wrong: {error.message}", error.hint or "")
        return None


@dataclass(frozen=True)
class LinkSettings:
    """`[[link]]`: between `n0` (node 0), `p0` (what joins the nodes of package 0), and switches of any other name."""

    between: tuple[str, ...] = field(metadata=required(many(text(), 'two ends, such as ["n0", "n1"]', distinct=True)))
    bandwidth: float = field(metadata=required(_RATE))
    kind: str = key("link", text())

    def conflict(self) -> Conflict | None:
        if len(self.between) != 2:
            return Conflict("between", "names not two ends", 'write it as ["n0", "n1"]')
        return None


@dataclass(frozen=True)
class DeviceSettings:
    """`[[device]]`: a network device, its node, and GB/s each way of its PCIe link."""

    address: str = field(metadata=required(text('a PCI address, such as "0000:3b:00.0"')))
    node: int | None = key(None, integer(0, 1023))
    bandwidth: float | None = key(None, _RATE)
    name: str = key("", text())


@dataclass(frozen=True)
class MachineFile:
    """The whole file. Without `synthetic` it tells more of a topology that was read elsewhere."""

    source: str = key("", text())
    synthetic: str | None = key(None, text())
    siblings: Literal["next", "last"] = key("next", one_of(*SIBLINGS))
    distances: tuple[tuple[int, ...], ...] = key(
        (), many(many(integer(LOCAL, MOST_DISTANCE), "a row"), f"rows of numbers from {LOCAL} to {MOST_DISTANCE}")
    )
    routing: Literal["hops", "widest"] | None = key(None, one_of(*ROUTING))
    node: tuple[NodeSettings, ...] = sections(NodeSettings)
    link: tuple[LinkSettings, ...] = sections(LinkSettings)
    device: tuple[DeviceSettings, ...] = sections(DeviceSettings)

    def conflict(self) -> Conflict | None:
        if self.synthetic is not None and not is_synthetic(self.synthetic):
            return Conflict("synthetic", f"is {self.synthetic!r}", "write it as hwloc does: pack:2 numa:1 core:8 pu:2")
        size = len(self.distances)
        if any(len(row) != size for row in self.distances):
            return Conflict("distances", "is no square", "write as many numbers in each row as there are rows")
        if any(row[k] != LOCAL for k, row in enumerate(self.distances)):
            return Conflict("distances", f"is not {LOCAL} from a node to itself", "the diagonal is local (ACPI's SLIT)")
        return None


def read_machine(file: Path, over: Topology | None = None) -> Topology:
    """The machine in a file; one without `synthetic` is laid over `over`. Raises UsageError with the line; OSError."""
    import tomllib

    raw = file.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(raw)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not TOML: {error}", "see https://toml.io") from error
    reader = Reader(MachineFile, str(file), raw)
    told = reader.read(MachineFile, table)
    if told.synthetic is not None:
        try:
            base = replace(read_synthetic(told.synthetic, told.siblings), name=file.stem, source=told.source)
        except UsageError as error:
            raise reader.error(("synthetic",), error.message, error.hint or "") from error
    elif over is None:
        raise UsageError(
            f"{file} describes no machine of its own", "give it a key `synthetic`, or lay it over another: --overlay"
        )
    else:
        base = replace(over, source=f"{over.source}, {file.name} over it")
    return _laid_over(reader, base, told)


def _laid_over(reader: Reader, base: Topology, told: MachineFile) -> Topology:
    nodes = {node.number: node for node in base.nodes}
    for k, each in enumerate(told.node):
        if each.number not in nodes and each.memory is None:
            raise reader.error(
                ("node", k, "number"),
                f"{base.name} has no node {each.number}",
                "give `memory` too, to add one without cores",
            )
        old = nodes.get(each.number, Node(each.number, None, kind="memory"))
        nodes[each.number] = Node(
            old.number,
            old.package,
            size_of(each.memory) if each.memory is not None else old.memory,
            each.bandwidth or old.bandwidth,
            each.latency or old.latency,
            each.kind or old.kind,
        )
    ordered = tuple(nodes[n] for n in sorted(nodes))
    distances = tuple(tuple(row) for row in told.distances) or base.distances
    if len(distances) != len(ordered):
        place: Place = ("distances",) if told.distances else ("node", 0, "number")
        hint = f"write {len(ordered)} rows of {len(ordered)} `distances`, in the order of node numbers"
        raise reader.error(place, f"there are {len(ordered)} nodes, and distances of {len(distances)}", hint)
    made = replace(base, nodes=ordered, distances=distances, routing=told.routing or base.routing)
    made = replace(made, links=_links(reader, made, told), devices=_devices(reader, made, told))
    from burstline.numa.interconnect import Interconnect

    try:
        Interconnect.of(made)
    except UsageError as error:
        raise reader.error(("link", 0, "between"), error.message, error.hint or "") from error
    return made


def _links(reader: Reader, base: Topology, told: MachineFile) -> tuple[Link, ...]:
    for k, each in enumerate(told.link):
        for end in each.between:
            known = {"n": base.index, "p": base.packages}.get(end[0], ())
            if end[0] in "np" and end[1:].isdigit() and int(end[1:]) not in known:
                what = "node" if end[0] == "n" else "package"
                raise reader.error(
                    ("link", k, "between"), f"{base.name} has no {what} {end[1:]}",
                    f"it has nodes {', '.join(map(str, base.index))} and packages {', '.join(map(str, base.packages))}",
                )  # fmt: skip
    made = tuple(Link(*cast(tuple[str, str], each.between), each.bandwidth, each.kind) for each in told.link)
    return made or base.links


def _devices(reader: Reader, base: Topology, told: MachineFile) -> tuple[Device, ...]:
    found = {device.address: device for device in base.devices}
    for k, each in enumerate(told.device):
        old = found.get(each.address, Device(each.address, None))
        node = each.node if each.node is not None else old.node
        if node is not None and node not in base.index:
            raise reader.error(
                ("device", k, "node"), f"{base.name} has no node {node}", f"it has {', '.join(map(str, base.index))}"
            )
        found[each.address] = Device(each.address, node, each.bandwidth or old.bandwidth, each.name or old.name)
    return tuple(found[address] for address in sorted(found))
