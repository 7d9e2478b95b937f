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


def edges(machine: Machine) -> Iterator[tuple[str, str, str, bool]]:
    """From, to, the keys that lead there, and whether what follows is an inner packet."""
    for state in machine.states.values():
        found: dict[str, list[int]] = {}
        for key, target in sorted(machine.tables.get(state.selects, {}).items()):
            found.setdefault(target, []).append(key)
        for target, keys in found.items():
            text = ", ".join(spelled(state.selects, k) for k in keys)
            yield state.name, target, text, enters_tunnel(state.selects, target)


def spelled(table: str, key: int) -> str:
    if table == "label":
        return "another label" if key == 16 else f"version {key}"
    if table == "ethertype" and key == 0:
        return "a length"
    return f"{key:#06x}" if table in ("ethertype", "tunnelled", "sap", "ppp") else str(key)


def dot(machine: Machine) -> str:
    """The state machine in Graphviz's language; a dashed arrow leads into a tunnel."""
    lines = ["digraph parser {", "  rankdir=LR; nodesep=0.18; ranksep=0.9;"]
    lines += [
        '  node [shape=box, style="rounded,filled", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=8, color="#606060"];',
        '  packet [shape=plaintext, style="", label="a packet"];',
    ]
    for state in machine.states.values():
        lines.append(f'  {state.name} [fillcolor="{COLOURS[state.layer]}", tooltip="{state.source}"];')
    lines += [f"  packet -> {name};" for name in LINKS.values()]
    for source, target, keys, inner in edges(machine):
        lines.append(f'  {source} -> {target} [label="{keys}"{", style=dashed" if inner else ""}];')
    return "\n".join([*lines, "}", ""])


def main() -> None:
    text = dot(Machine())
    (DOCS / "parser.dot").write_text(text)
    subprocess.run(["dot", "-Tsvg", "-o", str(DOCS / "parser.svg")], input=text, text=True, check=True)


if __name__ == "__main__":
    main()
