"""What a packet costs, by the size of the burst that it came in: each stage, and what the engine does around them.

Counted on request, since a look at the clock costs as much as a small stage: what two looks take is taken off again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from burstline.native.kernel import Kernel
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Region

BURST_CLASS = "burstline_burst_class"  # as compiler/chain.py calls the cell that holds the class of the burst
CLASSES = 9  # bursts of 1, 2 to 3, 4 to 7, ..., 128 to 255, 256
PHASES = ("receive", "parse", "stages", "send")
PHASE_SIZE = CLASSES * 16  # bytes: for each class, cycles and packets
Edges = Mapping[tuple[int, int, str, str], int]
_least_look = Kernel("burstline.engine.costs_kernel:least_look", int)


def sizes(number: int) -> str:
    """The bursts of a class, in words."""
    least = 1 << number
    return str(least) if number in (0, CLASSES - 1) else f"{least}-{2 * least - 1}"


@dataclass(frozen=True)
class Cost:
    """Nanoseconds a packet in bursts of each class, where there were some; and how many packets."""

    name: str
    packets: tuple[int, ...]
    ns: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "bursts": {
                sizes(k): {"packets": packets, "ns": ns}
                for k, (packets, ns) in enumerate(zip(self.packets, self.ns, strict=True))
                if packets
            },
        }


def costs_of(edges: Edges, phases: Sequence[Sequence[tuple[int, ...]]], names: Mapping[tuple[int, int], str],
             hz: float) -> list[Cost]:  # fmt: skip
    """From counters: `edges` has those of stages, as chain, place, "cycles" or "timed", and class; `phases` pairs of
    cycles and packets by class, for each of PHASES. `names` are those of the stages, by chain and place."""
    look = _least_look(1000)
    found = [_cost(name, phase, hz, 0) for name, phase in zip(PHASES, phases, strict=True)]
    for (chain, place), name in names.items():
        pairs = [
            (edges.get((chain, place, "cycles", str(k)), 0), edges.get((chain, place, "timed", str(k)), 0))
            for k in range(CLASSES)
        ]
        if any(packets for _, packets in pairs):
            found.append(_cost(f"stage {name}", pairs, hz, look))
    return found


def costs_by_name(edges: Edges, pipeline: Pipeline, phases: Sequence[Region], hz: float) -> list[Cost]:
    """The same of a pipeline's stages; `phases` are each worker's counters of its phases."""
    sums = [
        [tuple(sum(r.i64(phase * PHASE_SIZE + 16 * k + at) for r in phases) for at in (0, 8)) for k in range(CLASSES)]
        for phase in range(len(PHASES))
    ]
    names = {(c, s): stage.name for c, chain in enumerate(pipeline.chains) for s, stage in enumerate(chain.stages)}
    return costs_of(edges, sums, names, hz)


def _cost(name: str, pairs: Sequence[tuple[int, ...]], hz: float, look: int) -> Cost:
    ns = tuple(max(0.0, (cycles / packets - look) * 1e9 / hz) if packets else 0.0 for cycles, packets in pairs)
    return Cost(name, tuple(packets for _, packets in pairs), ns)


def lines(costs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table for a terminal, from what `Cost.as_json` gives: ns a packet, a column for each size of bursts."""
    columns = [name for name in map(sizes, range(CLASSES)) if any(name in cost["bursts"] for cost in costs)]
    if not columns:
        return []
    width = max(len(cost["name"]) for cost in costs)
    rows = [f"{'ns a packet in bursts of':<{width}}" + "".join(f"{name:>9}" for name in columns)]
    width = max(width, len("ns a packet in bursts of"))
    for cost in costs:
        cells = [f"{cost['bursts'][name]['ns']:.1f}" if name in cost["bursts"] else "-" for name in columns]
        rows.append(f"{cost['name']:<{width}}" + "".join(f"{cell:>9}" for cell in cells))
    return rows
