"""The graph of a pipeline, drawn: `--graph FILE` writes it as text, as JSON, in Graphviz's language, or as an SVG that
Graphviz draws."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from burstline.engine.graph import Graph
from burstline.errors import BurstlineError, UsageError


def text(graph: Graph) -> str:
    """For a terminal: each stage, and under it the ways out."""
    rows: list[tuple[str, int | None]] = []
    for number, place in enumerate(graph.stages):
        if place.place == 0:
            rows += [("", None)] if rows else []
            rows.append((f"chain {place.chain}", None))
        rows.append((f"  {place.place + 1}. {place.stage}", place.packets))
        for way in graph.ways:
            if way.source == number:
                to = way.end if way.target is None else graph.stages[way.target].stage
                rows.append((f"       {way.label} -> {to}", way.packets))
    width = max(len(line) for line, _ in rows)
    return "\n".join(f"{line:<{width}}  {count:>15,}" if count is not None else line for line, count in rows)


def dot(graph: Graph) -> str:
    """In Graphviz's language. The more packets took a way, the thicker it is drawn."""
    most = max((way.packets or 0 for way in graph.ways), default=0)
    lines = [
        f'digraph "{_quoted(graph.name)}" {{',
        '  rankdir=LR; fontname="Helvetica"; fontsize=11;',
        '  node [shape=box, style="rounded,filled", fillcolor="#d9e8f5", fontname="Helvetica", fontsize=11];',
        '  edge [fontname="Helvetica", fontsize=9, color="#606060", arrowsize=0.7];',
    ]
    chains: dict[str, list[int]] = {}
    for number, place in enumerate(graph.stages):
        chains.setdefault(f"{number - place.place}", []).append(number)
    for first, numbers in chains.items():
        lines.append(
            f'  subgraph cluster_{first} {{ label="{_quoted(graph.stages[int(first)].chain)}"; color="#b0b0b0";'
        )
        lines += [
            f'    s{n} [label="{_quoted(graph.stages[n].stage)}{_counted(graph.stages[n].packets)}"];' for n in numbers
        ]
        lines.append("  }")
    ends = dict.fromkeys(way.end for way in graph.ways if way.target is None)
    for end in ends:
        colour = "#f6d9d9" if end.startswith("dropped") else "#d8f0d8"
        lines.append(f'  "{_quoted(end)}" [shape=plaintext, style=filled, fillcolor="{colour}"];')
    for way in graph.ways:
        to = f"s{way.target}" if way.target is not None else f'"{_quoted(way.end)}"'
        share = (way.packets or 0) / most if most else 0
        style = f", penwidth={1 + 4 * share:.1f}" + ("" if way.packets is None or way.packets else ", style=dotted")
        lines.append(f'  s{way.source} -> {to} [label="{_quoted(way.label)}{_counted(way.packets)}"{style}];')
    return "\n".join([*lines, "}", ""])


def _quoted(words: str) -> str:
    return words.replace("\\", "\\\\").replace('"', '\\"')


def _counted(packets: int | None) -> str:
    return "" if packets is None else f"\\n{packets:,}"


def svg(source: str) -> str:
    """A picture of a graph in Graphviz's language. Raises BurstlineError where Graphviz is not there."""
    program = shutil.which("dot")
    if program is None:
        raise BurstlineError(
            "an SVG is drawn by Graphviz, which is not here", "apt install graphviz, or write a .dot file"
        )
    done = subprocess.run([program, "-Tsvg"], input=source, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BurstlineError(f"Graphviz fails: {done.stderr.strip()}", "write a .dot file, and look at it")
    return done.stdout


SUFFIXES = (".txt", ".json", ".dot", ".svg")


def check_suffix(path: Path | None) -> None:
    """Before a run: raises UsageError for a file that the graph cannot be written to in the end."""
    if path is not None and path.suffix not in SUFFIXES:
        raise UsageError(f"--graph {path}: of what kind?", f"end the name in {', '.join(SUFFIXES)}")
    if path is not None and path.suffix == ".svg":
        svg("digraph {}")


def write(graph: Graph, path: Path) -> None:
    """To a file, in the form that its suffix says."""
    check_suffix(path)
    made = {
        ".txt": lambda: text(graph) + "\n",
        ".json": lambda: json.dumps(asdict(graph), indent=2) + "\n",
        ".dot": lambda: dot(graph),
        ".svg": lambda: svg(dot(graph)),
    }[path.suffix]()
    try:
        path.write_text(made)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "give a file that can be written to --graph") from error
