"""Where workers and groups are on a machine, and what it costs to have a group elsewhere: the planner's cost model,
for one packet and for one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burstline.errors import UsageError
from burstline.numa.balance.seen import Floats, Ints
from burstline.numa.cost_model import CostModel
from burstline.numa.interconnect import Interconnect
from burstline.numa.topology import Topology

SAME, L3, NODE, ACROSS = range(4)
TIERS = ("the same worker", "its L3 domain", "its node", "another node")
RECORD_LINES = 2.0  # of a flow's record and its place in the table
RECORD_WORK = 120.0  # ns: taken out on one side, put in on the other


@dataclass(frozen=True)
class Places:
    """`tiers[a, b]` is how far worker b is from a: SAME, L3, NODE or ACROSS; `distances` is ACPI's between their nodes.
    `stalls[w, g]` are ns for which worker w waits for memory at a packet of group g, whose packets lie on the node of
    its port; `handover[a, b]` ns of both workers for a record that goes from a to b."""

    tiers: Ints
    distances: Ints
    stalls: Floats
    handover: Floats

    @classmethod
    def of(
        cls,
        machine: Topology,
        cpus: Sequence[int],
        homes: Sequence[int],
        *,
        lines: float = 1.5,
        model: CostModel | None = None,
    ) -> Places:
        """Workers run on `cpus`; packets of each group lie on the node (by number) that `homes` says, and `lines` cache
        lines of each are read. Raises UsageError for a CPU that the machine does not have."""
        wrong = next((cpu for cpu in cpus if cpu not in machine.core_of), None)
        if wrong is not None:
            raise UsageError(f"{machine.name} has no CPU {wrong}", "see `burstline topology` for those that it has")
        model = model or CostModel()
        latencies = model.weighed(Interconnect.of(machine).latencies)
        cores = [machine.core_of[cpu] for cpu in cpus]
        nodes = [machine.index[core.node] for core in cores]
        count = len(cores)
        tiers, distances = np.full((count, count), ACROSS), np.zeros((count, count), dtype=np.int64)
        handover = np.zeros((count, count))
        for a in range(count):
            for b in range(count):
                if a == b:
                    tiers[a, b] = SAME
                elif nodes[a] == nodes[b]:
                    tiers[a, b] = L3 if cores[a].cache == cores[b].cache else NODE
                distances[a, b] = machine.distances[nodes[a]][nodes[b]]
                each = model.l3 if tiers[a, b] <= L3 else latencies[nodes[b], nodes[a]]
                handover[a, b] = RECORD_WORK + RECORD_LINES * each
        # A port's packets are in L3 on its own node; elsewhere each line comes from there, some at once.
        by_node = lines * np.where(np.eye(len(latencies), dtype=bool), model.l3, latencies) / model.overlap
        stalls = by_node[np.array(nodes)][:, [machine.index[home] for home in homes]]
        return cls(tiers.astype(np.int64), distances, stalls, handover)

    @classmethod
    def alike(cls, workers: int, groups: int) -> Places:
        """Of a machine of which nothing is known: all are in one L3 domain."""
        tiers = np.where(np.eye(workers, dtype=bool), SAME, L3).astype(np.int64)
        even = np.full((workers, workers), 10, dtype=np.int64)
        return cls(tiers, even, np.zeros((workers, groups)), np.full((workers, workers), RECORD_WORK))

    @property
    def workers(self) -> int:
        return len(self.tiers)
