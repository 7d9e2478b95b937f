"""What nanoseconds a packet are predicted from, and the analytic prior that knows nothing yet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from burstline.numa.balance.seen import Floats
from burstline.numa.cost_model import CostModel
from burstline.numa.interconnect import LATENCY

RECORD, RECORD_LINES = 128, 2.0  # bytes, and cache lines, that a flow's record and its place take
TERMS = ("constant", "1/fill", "flows", "table", "hops", "rate", "burst", "hops·rate", "prior")


@dataclass(frozen=True)
class Features:
    """Of one worker: packets/s, flows, hops of the interconnect from its packets to it (mean), packets that a poll
    brought (mean), bytes of its tables, and packets that it asks for at once."""

    rate: float
    flows: float = 0.0
    hops: float = 0.0
    fill: float = 1.0
    table: float = 0.0
    burst: float = 32.0


@dataclass(frozen=True)
class Prior:
    """The planner's model: `ns` of computing and `poll_ns` of a poll, shared by what it brings; `lines` of a packet
    come from L3 at home and from `latency` ns away, half as much again for each further hop; records come from L3, or
    from memory as far as they do not fit into `l3` bytes."""

    ns: float = 60.0
    poll_ns: float = 60.0
    lines: float = 1.5
    latency: float = LATENCY
    l3: float = 32 << 20
    model: CostModel = field(default_factory=CostModel)

    def predict(self, seen: Features) -> float:
        far = min(1.0, seen.hops) * self.latency * (1.5 + 0.5 * max(0.0, seen.hops - 1))
        packet = self.lines * ((1 - min(1.0, seen.hops)) * self.model.l3 + far)
        wanted = max(seen.flows * RECORD, 1.0)
        missed = max(0.0, 1 - self.l3 / wanted)
        record = RECORD_LINES * ((1 - missed) * self.model.l3 + missed * self.latency)
        return self.ns + self.poll_ns / max(1.0, seen.fill) + (packet + record) / self.model.overlap


def terms(seen: Features, prior: float) -> Floats:
    """By TERMS, each of the order of one."""
    rate = seen.rate / 1e6
    return np.array([
        1.0, 1 / max(1.0, seen.fill), math.log2(1 + seen.flows) / 20, math.log2(1 + seen.table) / 30, seen.hops, rate,
        math.log2(max(1.0, seen.burst)) / 8, seen.hops * rate, prior / 100,
    ])  # fmt: skip
