"""Machines in a line of text, as hwloc's synthetic topologies: `pack:2 numa:4 l3:2(size=32MB) core:4 pu:2`.

https://hwloc.readthedocs.io/en/stable/synthetic.html: each word says how many of a thing each thing before it has;
`[numa(memory=64GB)]` is memory that belongs to the thing before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import Literal

from burstline.errors import UsageError
from burstline.numa.topology import LOCAL, Cache, Core, Node, Topology

KINDS = {
    "package": "package", "pack": "package", "socket": "package",
    "numa": "numa", "numanode": "numa", "node": "numa",
    "l3": "l3", "l3cache": "l3",
    "core": "core", "pu": "pu",
    "group": "", "die": "", "cluster": "", "tile": "", "module": "", "l2": "", "l2cache": "", "l1": "", "l1d": "",
    "l1dcache": "", "l1i": "", "l1icache": "", "l1cache": "", "l4": "", "l4cache": "",
}  # fmt: skip
ORDER = ("package", "numa", "l3", "core", "pu")
UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
MOST_THREADS = 1 << 16
NEAR, FAR = 12, 20  # assumed distances of nodes in one package (as EPYC in NPS4 tells), and in two (as Linux assumes)
HINT = "write it as hwloc does, such as 'pack:2 numa:2 l3:4(size=32MB) core:4 pu:2'"
_WORD = re.compile(r"(\[)?\s*([A-Za-z]\w*)(?::(\d+))?\s*(?:\(([^)]*)\))?\s*(\])?\s*")


@dataclass(frozen=True)
class _Level:
    kind: str
    count: int
    values: dict[str, str]


def is_synthetic(text: str) -> bool:
    """Whether a text looks like the description of a machine, and not like a name or a path."""
    first = re.match(r"\s*\[?([A-Za-z]\w*)[:(\]]", text)
    return first is not None and first[1].lower() in KINDS


def size_of(text: str) -> int:
    """`64GB` as bytes; units are powers of 1024, as for hwloc. Raises UsageError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if not found:
        raise UsageError(f"{text!r} is no size", "write it as 512MB or 64GB")
    return round(float(found[1]) * UNITS[found[2]])


def spelled(size: int) -> str:
    """Bytes in the largest unit that they are a multiple of."""
    unit = next((u for u in ("t", "g", "m", "k") if size and size % UNITS[u] == 0), "")
    return f"{size // UNITS[unit]}{unit.upper()}B" if unit else str(size)


def read_synthetic(text: str, siblings: Literal["next", "last"] = "next") -> Topology:
    """The machine that `text` describes. The threads of a core are numbered one after the other, or, with `siblings` of
    "last", all first threads come before all second ones, as on most x86 servers. Raises UsageError."""
    levels, beside = _levels(text)
    per = [prod(level.count for level in levels[k + 1 :]) for k in range(len(levels))]
    threads = prod(level.count for level in levels)
    at = {level.kind: k for k, level in enumerate(levels)}

    def place(kind: str, leaf: int) -> int:
        return leaf // per[at[kind]] if kind in at else 0

    width = levels[-1].count
    count = threads // width
    numbers = _numbers(levels[-1].values, threads, width, count, siblings)
    cores: list[Core] = []
    cache_of: dict[tuple[int, int], int] = {}
    package_of: dict[int, int] = {}
    for k in range(count):
        leaf = k * width
        node = place("numa", leaf)
        package = place("package", leaf) if "package" in at else node
        package_of.setdefault(node, package)
        cache = cache_of.setdefault((node, place("l3", leaf) if "l3" in at else -1), len(cache_of))
        cores.append(Core(k, package, node, cache, tuple(numbers[leaf : leaf + width])))
    memory = size_of(levels[at["numa"]].values.get("memory", "0")) if "numa" in at else 0
    size = size_of(levels[at["l3"]].values.get("size", "0")) if "l3" in at else 0
    nodes = [Node(n, package, memory) for n, package in sorted(package_of.items())]
    owner = list(range(len(nodes)))
    for values in beside:
        for home in range(len(package_of)):
            owner.append(home)
            nodes.append(Node(len(nodes), None, size_of(values.get("memory", "0")), kind="memory"))
    caches = tuple(Cache(number, node, size) for (node, _), number in cache_of.items())
    return Topology(
        text, tuple(nodes), caches, tuple(cores), _assumed(nodes, owner), source="a synthetic description, as of hwloc"
    )


def synthetic_of(machine: Topology) -> str:
    """The line that describes a machine. Raises UsageError where it is not regular enough for one."""
    nodes = [node for node in machine.nodes if node.package is not None]
    counts = {
        "package": len(machine.packages),
        "numa": len(nodes),
        "l3": len(machine.caches),
        "core": len(machine.cores),
        "pu": machine.threads,
    }
    words = []
    above = 1
    for kind in sorted(ORDER, key=lambda kind: (counts[kind], ORDER.index(kind))):
        values = ""
        if kind == "numa" and nodes[0].memory:
            values = f"(memory={spelled(nodes[0].memory)})"
        if kind == "l3" and machine.caches[0].size:
            values = f"(size={spelled(machine.caches[0].size)})"
        if kind == "pu":
            numbers = [cpu for core in machine.cores for cpu in core.cpus]
            if numbers != list(range(len(numbers))):
                values = f"(indexes={','.join(map(str, numbers))})"
        words.append(f"{'pack' if kind == 'package' else kind}:{max(1, counts[kind] // above)}{values}")
        above = counts[kind]
    text = " ".join(words)
    made = read_synthetic(text)
    if (made.cores, made.caches) != (machine.cores, machine.caches) or [
        (n.number, n.package, n.memory) for n in made.nodes
    ] != [(n.number, n.package, n.memory) for n in machine.nodes]:
        raise UsageError(
            f"{machine.name} is not regular, and no line describes it", "write it as TOML, or as hwloc's XML"
        )
    return text


def _levels(text: str) -> tuple[list[_Level], list[dict[str, str]]]:
    """The levels of a machine down to the thread, and what further memory each node has beside it."""
    found: list[_Level] = []
    beside: list[dict[str, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        word = _WORD.match(text, at)
        if not word or word.end() == at or bool(word[1]) != bool(word[5]):
            raise UsageError(f"{text[at:]!r} of {text!r} describes nothing", HINT)
        at = word.end()
        name, attached = word[2].lower(), bool(word[1])
        if name not in KINDS:
            raise UsageError(
                f"{word[2]} of {text!r} is no part of a machine", f"parts are {', '.join(ORDER)}, group, l2, ..."
            )
        values = dict(part.strip().partition("=")[::2] for part in re.split(r"\s+", word[4] or "") if "=" in part)
        if attached:
            if KINDS[name] != "numa":
                raise UsageError(f"[{word[2]}] of {text!r} is no memory", "only numa is written in brackets")
            if any(level.kind == "numa" for level in found):
                beside.append(values)
            else:
                found.append(_Level("numa", 1, values))
            continue
        if not word[3] or int(word[3]) < 1:
            raise UsageError(f"{word[2]} of {text!r} has no count above 0", HINT)
        if KINDS[name] and any(level.kind == KINDS[name] for level in found):
            raise UsageError(f"{text!r} has {word[2]} twice", HINT)
        found.append(_Level(KINDS[name], int(word[3]), values))
    known = [level.kind for level in found if level.kind]
    if not known:
        raise UsageError(f"{text!r} describes no machine", HINT)
    if [kind for kind in known if kind in ("core", "pu")] != known[
        len(known) - sum(k in ("core", "pu") for k in known) :
    ]:
        raise UsageError(f"{text!r} has something below its cores", "write core and pu last")
    if "pu" in known and known[-1] != "pu":
        raise UsageError(f"{text!r} has something below its threads", "write pu last")
    if "pu" not in known:
        found.append(_Level("pu", 1, {}))
    if prod(level.count for level in found) > MOST_THREADS:
        raise UsageError(f"{text!r} has more than {MOST_THREADS:,} threads", "describe a smaller machine")
    return found, beside


def _numbers(values: dict[str, str], threads: int, width: int, cores: int, siblings: str) -> list[int]:
    if "indexes" in values:
        listed = values["indexes"].split(",")
        if not all(word.strip().isdigit() for word in listed) or sorted(map(int, listed)) != list(range(threads)):
            raise UsageError(f"indexes={values['indexes']} does not number {threads} threads", "list each number once")
        return [int(word) for word in listed]
    if siblings == "last":
        return [core + thread * cores for core in range(cores) for thread in range(width)]
    return list(range(threads))


def _assumed(nodes: list[Node], owner: list[int]) -> tuple[tuple[int, ...], ...]:
    """What distances are likely, as none are written. Memory without cores is a step from the node it is beside."""

    def between(a: int, b: int) -> int:
        if a == b:
            return LOCAL
        home, other = nodes[owner[a]], nodes[owner[b]]
        apart = LOCAL if owner[a] == owner[b] else NEAR if home.package == other.package else FAR
        return apart + 3 * ((a != owner[a]) + (b != owner[b]))

    return tuple(tuple(between(a, b) for b in range(len(nodes))) for a in range(len(nodes)))
