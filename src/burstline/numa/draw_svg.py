"""A topology as SVG: packages with their nodes, L3 domains and cores; links as wide as their bandwidth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from burstline.numa.draw_text import sized
from burstline.numa.interconnect import Interconnect
from burstline.numa.topology import Node, Topology

CELL, GAP, PAD, LINE = 8, 2, 8, 14  # pixels: a core, between cores, around things, a line of text
NODE_WIDTH = 190
COLOURS = {
    "package": "#f4f4f0",
    "node": "#dbe9f6",
    "alone": "#fbe5c8",
    "core": "#4a7ba6",
    "busy": "#d2691e",
    "link": "#888",
    "l3": "#bcd3e8",
}
PER_ROW = 16  # cores
Place = tuple[float, float, float]  # the left and right end of a thing, and its middle from above


def draw_svg(machine: Topology, running: Mapping[int, str] = {}) -> str:
    """The text of an SVG file; `running` is what runs on a CPU, by its number. Raises UsageError where nodes are not
    joined."""
    graph = Interconnect.of(machine)
    boxes = {f"p{p}": _package(machine, p, running) for p in machine.packages}
    boxes |= {f"n{n.number}": _alone(machine, n) for n in machine.nodes if n.package is None}
    width = max(w for w, _, _, _ in boxes.values())
    height = max(h for _, h, _, _ in boxes.values())
    columns = math.ceil(math.sqrt(len(boxes) * height / width)) if len(boxes) > 2 else len(boxes)
    columns = max(1, min(columns, len(boxes)))
    apart_x, apart_y = width + 110, height + 70
    places: dict[str, Place] = {}
    drawn: list[str] = []
    for k, (_, _, parts, ends) in enumerate(boxes.values()):
        x, y = 20 + k % columns * apart_x, 46 + k // columns * apart_y
        drawn.append(f'<g transform="translate({x},{y})">{parts}</g>')
        places |= {point: (x + left, x + right, y + down) for point, (left, right, down) in ends.items()}
    _place_switches(graph, places)
    rows = -(-len(boxes) // columns)
    full = (40 + columns * apart_x - 110, 66 + rows * apart_y)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full[0]} {full[1]}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{_text(20, 24, machine.name, 15)}'
        f"{''.join(drawn)}{_links(graph, places)}</svg>\n"
    )


def _package(machine: Topology, package: int, running: Mapping[int, str]) -> tuple[float, float, str, dict[str, Place]]:
    """Width, height, drawing, and where links end in it."""
    nodes = [n for n in machine.nodes if any(c.package == package for c in machine.cores_in(node=n.number))]
    drawn: list[str] = []
    ends: dict[str, Place] = {}
    y = float(PAD + LINE)
    for node in nodes:
        parts, tall = _node(machine, node, package, running)
        drawn.append(f'<g transform="translate({PAD},{y})">{parts}</g>')
        if node.package == package:
            ends[f"n{node.number}"] = (PAD, NODE_WIDTH + PAD, y + tall / 2)
        y += tall + PAD
    box = _box(NODE_WIDTH + 2 * PAD, y, COLOURS["package"])
    ends[f"p{package}"] = (0, NODE_WIDTH + 2 * PAD, y / 2)
    return NODE_WIDTH + 2 * PAD, y, f"{box}{_text(PAD, LINE, f'package {package}')}{''.join(drawn)}", ends


def _node(machine: Topology, node: Node, package: int, running: Mapping[int, str]) -> tuple[str, float]:
    drawn, y = [_text(4, LINE - 2, _title(node))], float(LINE + 2)
    for cache in machine.caches:
        cores = [c for c in machine.cores_in(cache=cache.number) if c.package == package and c.node == node.number]
        if not cores:
            continue
        rows = -(-len(cores) // PER_ROW)
        tall = rows * (CELL + GAP) + GAP
        title = f"L3 {sized(cache.size)}" if cache.size else "no L3 told"
        drawn.append(f"<g><title>{title}</title>{_box(NODE_WIDTH - 8, tall, COLOURS['l3'], 4, y)}")
        for k, core in enumerate(cores):
            x = 4 + GAP + k % PER_ROW * (CELL + GAP)
            top = y + GAP + k // PER_ROW * (CELL + GAP)
            busy = "".join(f"; {running[cpu]}" for cpu in core.cpus if cpu in running)
            drawn.append(
                f'<rect x="{x}" y="{top}" width="{CELL}" height="{CELL}" fill="{COLOURS["busy" if busy else "core"]}">'
                f"<title>core {core.number}, CPUs {','.join(map(str, core.cpus))}{escape(busy)}</title></rect>"
            )
        drawn.append("</g>")
        y += tall + GAP
    for device in machine.devices:
        if device.node == node.number:
            drawn.append(_text(4, y + LINE - 4, f"{device.address} {device.name}".strip()))
            y += LINE
    return _box(NODE_WIDTH, y + 4, COLOURS["node"]) + "".join(drawn), y + 4


def _alone(machine: Topology, node: Node) -> tuple[float, float, str, dict[str, Place]]:
    box = _box(NODE_WIDTH, LINE + PAD, COLOURS["alone"])
    return (
        NODE_WIDTH,
        LINE + PAD,
        box + _text(4, LINE, _title(node)),
        {f"n{node.number}": (0, NODE_WIDTH, (LINE + PAD) / 2)},
    )


def _title(node: Node) -> str:
    speed = f", {node.bandwidth:.4g} GB/s" if node.bandwidth else ""
    kind = f"{node.kind} " if node.package is None else ""
    return f"{kind}node {node.number}: {sized(node.memory) if node.memory else 'no memory'}{speed}"


def _place_switches(graph: Interconnect, places: dict[str, Place]) -> None:
    """A switch goes to the right of what it joins; switches that only join switches are placed after them."""
    left = [point for point in graph.points if point not in places]
    while left:
        for point in left:
            ends = [end for link in graph.links if point in (link.a, link.b) for end in (link.a, link.b)]
            near = [places[end] for end in ends if end in places]
            if near:
                shift = 12 * (len(left) % 3)
                x = sum(right for _, right, _ in near) / len(near) + 24 + shift
                places[point] = (x, x, sum(y for _, _, y in near) / len(near) + shift)
        left = [point for point in left if point not in places]


def _links(graph: Interconnect, places: dict[str, Place]) -> str:
    widest = max((link.bandwidth for link in graph.links), default=1.0)
    drawn = []
    for link in graph.links:
        (x1, y1), (x2, y2) = _ends(places[link.a], places[link.b])
        bend = 0.12 * math.hypot(x2 - x1, y2 - y1) + 10
        middle, width = ((x1 + x2) / 2 + bend, (y1 + y2) / 2 - bend), 1 + 5 * link.bandwidth / widest
        dashes = ' stroke-dasharray="5 3"' if link.assumed else ""
        drawn.append(
            f'<path d="M{x1:.1f},{y1:.1f} Q{middle[0]:.1f},{middle[1]:.1f} {x2:.1f},{y2:.1f}" fill="none" '
            f'stroke="{COLOURS["link"]}" stroke-opacity="0.6" stroke-width="{width:.1f}"{dashes}>'
            f"<title>{escape(f'{link.kind} {link.a}-{link.b}')}: {link.bandwidth:g} GB/s each way</title></path>"
        )
    switches = [point for point in graph.points if point[0] not in "np" or not point[1:].isdigit()]
    for point in switches:
        x, _, y = places[point]
        drawn.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="#fff" stroke="#555"><title>{escape(point)}</title></circle>'
        )
    return "".join(drawn)


def _ends(a: Place, b: Place) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where a link begins and ends: on the sides that face each other, on the right where one is above the other."""
    if a[1] < b[0]:
        return (a[1], a[2]), (b[0], b[2])
    if b[1] < a[0]:
        return (a[0], a[2]), (b[1], b[2])
    return (a[1], a[2]), (b[1], b[2])


def _box(width: float, height: float, colour: str, x: float = 0, y: float = 0) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" fill="{colour}" stroke="#999"/>'


def _text(x: float, y: float, text: str, size: int = 11) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'
