"""Which hops are branches within one function, and which are jumps from one function to another.

A region is one LLVM function: each of its stages is there once, as blocks, and a hop between two of them is a branch.
Between regions a hop is a guaranteed tail call. A branch costs nothing, a tail call a third of a nanosecond; but a
function that grows too large costs more: its registers spill, and LLVM takes more than linear time over it
(docs/dispatch.md has the measurements).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Dispatch = Literal["auto", "fused", "tail", "called", "bucketed"]
Node = tuple[int, int]  # chain and place
FUSE_UP_TO = 4000  # LLVM instructions of a region's stages, before they are optimised


@dataclass(frozen=True)
class Regions:
    """`groups` of nodes, each entered at its first one only; `why` says for each node how it is reached, and why."""

    groups: list[list[Node]]
    why: dict[Node, str]
    dispatch: str  # fused, tail, called, bucketed, or mixed: some hops fused, some tail-called

    def of(self, node: Node) -> int:
        return next(k for k, group in enumerate(self.groups) if node in group)


def divide(sizes: Sequence[Sequence[int]], callers: Mapping[int, set[int]], dispatch: Dispatch, budget: int) -> Regions:
    """Regions for chains of stages of these sizes. `callers` of a chain lead to it, and come before it."""
    nodes = [(c, p) for c, chain in enumerate(sizes) for p in range(len(chain))]
    total = sum(map(sum, sizes))
    if dispatch in ("tail", "called"):
        return Regions([[node] for node in nodes], dict.fromkeys(nodes, "as told"), dispatch)
    if dispatch == "bucketed":
        how = {node: "by bucket" if node[1] == 0 else "fused: in one region with its chain" for node in nodes}
        return Regions([[(c, p) for p in range(len(chain))] for c, chain in enumerate(sizes)], how, dispatch)
    if dispatch == "fused":
        return Regions([nodes], dict.fromkeys(nodes, "as told"), "fused")
    if total <= budget:
        return Regions(
            [nodes], dict.fromkeys(nodes, f"fused: all stages are {total} instructions, at most {budget}"), "fused"
        )
    groups: list[list[Node]] = []
    filled: list[int] = []
    why: dict[Node, str] = {}
    home: dict[int, set[int]] = {}  # chain -> regions that it is in
    for chain, stages in enumerate(sizes):
        reached_from = {r for caller in callers.get(chain, set()) for r in home[caller]}
        current = next(iter(reached_from)) if len(reached_from) == 1 else -1
        if current < 0 or filled[current] + sum(stages) > budget:
            current = -1
        for place, size in enumerate(stages):
            node = (chain, place)
            if current < 0 or filled[current] + size > budget:
                before = filled[current] if current >= 0 else 0
                why[node] = (
                    f"tail-called: with it, its region would have {before + size} instructions, more than {budget}"
                    if before
                    else "tail-called: the start of a chain that does not fit into one region with all that leads to it"
                )
                groups.append([])
                filled.append(0)
                current = len(groups) - 1
            else:
                why[node] = f"fused: its region has {filled[current] + size} instructions with it, at most {budget}"
            groups[current].append(node)
            filled[current] += size
            home.setdefault(chain, set()).add(current)
    why[(0, 0)] = "entered first"
    if all(len(group) == 1 for group in groups):
        return Regions(groups, why, "tail")
    return Regions(groups, why, "mixed")
