"""The compiled preparation of a generator: each flow gets its share of the packets, and what kind of flow it is.

The shares follow Zipf's law, except that no flow has less than one packet where there are enough for all. One packet of
each flow is sure, so only what a flow has beyond that is drawn. Drawing takes one step however many flows there are, by
the alias method (Walker 1977), with tables built in one sweep, as shares fall from flow to flow.
"""

from __future__ import annotations

from typing import Any

from burstline.native.fieldtypes import f64
from burstline.native.struct import Struct
from burstline.native.struct_type import reference
from burstline.ports.generator import Flow, Kind

KINDS = 12
FLOW_SIZE, KIND_SIZE = Flow.layout.size, Kind.layout.size
ONE = float(1 << 32)


class Weight(Struct):
    value: f64


flow_at, kind_at, weight_at = reference(Flow), reference(Kind), reference(Weight)


def prepare(g: Any) -> int:
    drawn = weigh(g)
    choose_kinds(g, drawn)
    build_aliases(g, drawn)
    return 0


def weigh(g: Any) -> float:
    """Leave each flow's drawn packets in `weights`; returns their sum."""
    total = 0.0
    for i in range(g.flows):
        share = (i + 1.0) ** -g.zipf
        weight_at(g.weights + 8 * i).value = share
        total += share
    sure = sure_packets(g)
    drawn = 0.0
    for i in range(g.flows):
        weight = weight_at(g.weights + 8 * i)
        weight.value = max(0.0, weight.value * (g.packets / total) - sure)
        drawn += weight.value
    return drawn


def sure_packets(g: Any) -> int:
    """Of each flow: 1 when there are enough packets to introduce all, else 0."""
    return 1 if g.packets >= g.flows else 0


def choose_kinds(g: Any, drawn: float) -> int:
    """Give flow after flow to the kind that lacks most packets, so that all shares hold for packets as for flows."""
    sure = sure_packets(g)
    scale = (g.packets - sure * g.flows) / drawn if drawn > 0.0 else 0.0
    for i in range(g.flows):
        packets = sure + weight_at(g.weights + 8 * i).value * scale
        chosen = 0
        most = -1.0
        for k in range(KINDS):
            kind = kind_at(g.kinds + k * KIND_SIZE)
            kind.owed += kind.share * packets
            if kind.owed > most:
                most = kind.owed
                chosen = k
        kind_at(g.kinds + chosen * KIND_SIZE).owed -= packets
        flow_at(g.table + i * FLOW_SIZE).kind = chosen
    return 0


def build_aliases(g: Any, drawn: float) -> int:
    """Fill each flow's column of the alias table up to the mean with what a flow above the mean has too much."""
    mean = drawn / g.flows if drawn > 0.0 else 1.0
    for i in range(g.flows):
        flow_at(g.table + i * FLOW_SIZE).alias = i
    above = 0
    below = 0  # the first flow below the mean: all after it are, too
    while below < g.flows and weight_at(g.weights + 8 * below).value >= mean:
        below += 1
    filled = below
    while filled < g.flows and above < below:
        give(g, filled, above, mean)
        filled += 1
        while above + 1 < below and weight_at(g.weights + 8 * above).value < mean:
            give(g, above, above + 1, mean)
            above += 1
    return 0


def give(g: Any, to: int, of: int, mean: float) -> int:
    """Flow `to` keeps its weight of the column, and flow `of` gets the rest."""
    weight, giver = weight_at(g.weights + 8 * to), weight_at(g.weights + 8 * of)
    column = flow_at(g.table + to * FLOW_SIZE)
    column.threshold = int(min(weight.value / mean * ONE, ONE - 1.0))
    column.alias = of
    giver.value -= mean - weight.value
    return 0
