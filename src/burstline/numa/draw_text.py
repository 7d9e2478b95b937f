"""A topology for a terminal: what lies in what, the distances, and the links."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from burstline.numa.interconnect import Interconnect
from burstline.numa.topology import Core, Node, Topology

MATRIX = 24  # nodes of the widest matrix that is printed
WIDTH = 110


def draw_text(machine: Topology) -> Iterator[str]:
    """Lines, without ends."""
    counts = [
        (len(machine.packages), "package"), (len(machine.nodes), "node"), (len(machine.caches), "L3 domain"),
        (len(machine.cores), "core"), (machine.threads, "thread"),
    ]  # fmt: skip
    yield f"{machine.name}: {', '.join(counted(n, word) for n, word in counts)}"
    yield from textwrap.wrap(" ".join(machine.source.split()), WIDTH, initial_indent="  ", subsequent_indent="  ")
    for package in machine.packages:
        yield ""
        yield f"package {package}"
        for node in machine.nodes:
            if any(core.package == package for core in machine.cores_in(node=node.number)):
                yield from _node(machine, node, package)
    alone = [node for node in machine.nodes if node.package is None]
    if alone:
        yield ""
        yield "memory without cores"
        for node in alone:
            yield f"  {_title(node)}, nearest to node {machine.nearest_with_cores(node.number)}"
    lost = [device for device in machine.devices if device.node is None]
    for device in lost:
        yield f"{device.address} {device.name}: firmware does not tell its node".replace(" :", ":")
    if len(machine.nodes) > 1:
        yield ""
        yield from _graph(machine)


def _node(machine: Topology, node: Node, package: int) -> Iterator[str]:
    yield f"  {_title(node)}"
    cores = [core for core in machine.cores_in(node=node.number) if core.package == package]
    yield from collapsed(
        [
            (f"    L3 {sized(cache.size)}: " if cache.size else "    ")
            + _cores([core for core in cores if core.cache == cache.number])
            for cache in machine.caches
            if any(core.cache == cache.number for core in cores)
        ]
    )
    if package == node.package:
        for device in machine.devices:
            if device.node == node.number:
                speed = f", {device.bandwidth:g} GB/s each way" if device.bandwidth else ""
                yield f"    {device.address}{f' {device.name}' if device.name else ''}{speed}"


def _title(node: Node) -> str:
    said = [sized(node.memory) if node.memory else "no memory"]
    if node.bandwidth:
        said.append(f"{node.bandwidth:.4g} GB/s")
    if node.latency:
        said.append(f"{node.latency:.3g} ns")
    return f"node {node.number}: {f'{node.kind}, ' if node.package is None else ''}{', '.join(said)}"


def _cores(cores: Sequence[Core]) -> str:
    widths = sorted({len(core.cpus) for core in cores})
    threads = f" of {' or '.join(map(str, widths))} threads" if widths != [1] else ""
    return f"{counted(len(cores), 'core')}{threads}, CPUs {ranges([cpu for core in cores for cpu in core.cpus])}"


def _graph(machine: Topology) -> Iterator[str]:
    graph = Interconnect.of(machine)
    numbers = [node.number for node in machine.nodes]
    if len(numbers) <= MATRIX:
        widths = [
            [f"{graph.width(a, b):.3g}" if a != b else f"({graph.controllers[a]:.4g})" for b in range(len(numbers))]
            for a in range(len(numbers))
        ]
        yield from matrix("distance", numbers, [[str(value) for value in row] for row in machine.distances])
        yield ""
        yield from matrix("GB/s", numbers, widths)
        yield "  of the narrowest link on the way from row to column; (of the memory controllers)"
        yield ""
    assumed = all(link.assumed for link in graph.links)
    yield "links, assumed from the distances" if assumed else "links"
    shown = sorted(graph.links, key=lambda link: (link.kind, link.bandwidth, link.assumed))
    for (kind, bandwidth, guessed), each in groupby(shown, key=lambda link: (link.kind, link.bandwidth, link.assumed)):
        pairs = ", ".join(f"{link.a}-{link.b}" for link in each)
        head = f"  {kind}, {bandwidth:g} GB/s each way{', assumed' if guessed and not assumed else ''}: "
        yield from textwrap.wrap(pairs, WIDTH, initial_indent=head, subsequent_indent=" " * len(head))


def matrix(title: str, names: Sequence[object], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned, with the names of rows and columns."""
    width = max([len(cell) for row in rows for cell in row] + [len(str(name)) for name in names]) + 1
    left = max(len(title), *(len(str(name)) for name in names)) + 2
    yield f"{title:<{left}}" + "".join(f"{name!s:>{width}}" for name in names)
    for name, row in zip(names, rows, strict=True):
        yield f"{name!s:>{left - 2}}  " + "".join(f"{cell:>{width}}" for cell in row)


def collapsed(lines: Sequence[str], most: int = 8) -> list[str]:
    """The lines, or the first and last of many."""
    return [*lines] if len(lines) <= most else [*lines[:3], f"    ... {len(lines) - 4} more ...", lines[-1]]


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def sized(size: float) -> str:
    """Bytes in the largest unit in which they are at least 1."""
    for unit, name in ((1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size:.0f} bytes"


def ranges(numbers: Sequence[int]) -> str:
    """`0-3,8`, sorted."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)
