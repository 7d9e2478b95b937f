"""The picture of the parser's states, drawn from the tables that it is made of.

`python docs/_ext/parser_graph.py` writes docs/parser.dot, and docs/parser.svg by Graphviz.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

from burstline.packet.machine import Machine
from burstline.packet.parser_state import Layer
from burstline.packet.transitions import LINKS, enters_tunnel

DOCS = Path(__file__).parents[1]
COLOURS: dict[Layer, str] = {
    "link": "#d9e8f5", "tag": "#e8e8e8", "shim": "#e8e8e8", "label": "#e8e8e8", "network": "#d8f0d8",
    "extension": "#eef7e4", "transport": "#fdeccc", "tunnel": "#f6d9d9",
}  # fmt: skip


def ways(machine: Machine, table: str) -> Iterator[tuple[str, str, bool]]:
    """Of a table: each state that it leads to, the keys that do, and whether what follows is an inner packet."""
    found: dict[str, list[int]] = {}
    for key, target in sorted(machine.tables[table].items()):
        found.setdefault(target, []).append(key)
    for target, keys in found.items():
        yield target, ", ".join(spelled(table, k) for k in keys), enters_tunnel(table, target)


def spelled(table: str, key: int) -> str:
    if table == "label":
        return "another" if key == 16 else f"version {key}"
    if table == "ethertype" and key == 0:
        return "a length"
    return f"{key:#06x}" if table in ("ethertype", "tunnelled", "sap", "ppp") else str(key)


def dot(machine: Machine) -> str:
    """The state machine in Graphviz's language: states, and the tables that their keys are looked up in."""
    lines = ["digraph parser {", "  rankdir=LR; nodesep=0.16; ranksep=0.75; concentrate=false;"]
    lines += [
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=12];',
        '  edge [fontname="Helvetica", fontsize=9, color="#707070", arrowsize=0.7];',
        '  packet [shape=plaintext, style="", label="a packet"];',
    ]
    for state in machine.states.values():
        lines.append(f'  {state.name} [fillcolor="{COLOURS[state.layer]}", tooltip="{state.source}"];')
    tables = [t for t in machine.tables if any(s.selects == t for s in machine.states.values())]
    for table in tables:
        lines.append(f'  "{table}" [shape=ellipse, style="", fontsize=10, fontcolor="#404040"];')
    lines += [f"  packet -> {name};" for name in LINKS.values()]
    for state in machine.states.values():
        if state.selects in tables:
            lines.append(f'  {state.name} -> "{state.selects}" [arrowhead=none];')
    for table in tables:
        for target, keys, inner in ways(machine, table):
            lines.append(f'  "{table}" -> {target} [label="{keys}"{", style=dashed" if inner else ""}];')
    return "\n".join([*lines, "}", ""])


def main() -> None:
    text = dot(Machine())
    (DOCS / "parser.dot").write_text(text)
    subprocess.run(["dot", "-Tsvg", "-o", str(DOCS / "parser.svg")], input=text, text=True, check=True)


if __name__ == "__main__":
    main()
