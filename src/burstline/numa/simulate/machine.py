"""A machine with workers on it, as the simulator has it: what a packet costs each worker, given all traffic there is.

Capacities are those of the topology's links and memory controllers; what is waited for at them follows M/M/1 up to
`FULL`, and steeply beyond, so that no more gets through than there is room for. Lines that are not in L3 come from
memory: how many those are is a measured curve over the working set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from burstline.errors import UsageError
from burstline.numa.balance.places import RECORD_LINES, Places
from burstline.numa.balance.seen import Floats
from burstline.numa.cost_model import CostModel
from burstline.numa.interconnect import Interconnect
from burstline.numa.simulate.cache_curve import CacheCurve
from burstline.numa.topology import Topology

FULL = 0.95
STEEP = 400.0  # times a read, for each time that more is wanted than there is
LINE, RECORD, RING = 64, 128, 1024 * 128  # bytes: of a record and its place; of packets that wait at a worker
L3_UNKNOWN = 16 << 20


@dataclass(frozen=True)
class Work:
    """What a packet takes: ns of computing, ns of a poll that finds packets and of one that does not, lines of the
    packet that are read, bytes on the wire."""

    ns: float = 300.0
    poll_ns: float = 60.0
    empty_ns: float = 15.0
    lines: float = 1.5
    size: float = 512.0


class SimulatedMachine:
    """Workers on `cpus` of a topology, and ports on nodes (by number). Raises UsageError."""

    def __init__(
        self, topology: Topology, cpus: Sequence[int], ports: Sequence[int], work: Work | None = None,
        curve: CacheCurve | None = None,
    ) -> None:  # fmt: skip
        wrong = next((cpu for cpu in cpus if cpu not in topology.core_of), None)
        if wrong is not None:
            raise UsageError(f"{topology.name} has no CPU {wrong}", "see `burstline topology` for those that it has")
        self.topology, self.cpus, self.ports = topology, tuple(cpus), tuple(ports)
        self.work, self.curve, self.model = work or Work(), curve or CacheCurve.measured(), CostModel()
        graph = Interconnect.of(topology)
        cores = [topology.core_of[cpu] for cpu in cpus]
        numbers = sorted({core.cache for core in cores})
        sizes = {cache.number: cache.size or L3_UNKNOWN for cache in topology.caches}
        self._nodes = np.array([topology.index[core.node] for core in cores])
        self._homes = np.array([topology.index[node] for node in ports])
        self._domains = np.array([numbers.index(core.cache) for core in cores])
        self._sizes = np.array([float(sizes[number]) for number in numbers])
        self._shared = np.array([sum(other.number == core.number for other in cores) > 1 for core in cores])
        self._latencies = graph.latencies
        self._arcs, nodes = len(graph.bandwidths), len(graph.routes)
        self.capacity = np.concatenate([graph.bandwidths, graph.controllers]) * 1e9
        self._way = np.zeros((nodes, nodes, self._arcs + nodes))
        for i in range(nodes):
            for j in range(nodes):
                self._way[i, j, [*graph.routes[j][i], self._arcs + j]] = 1.0  # what cores of i read on j

    @property
    def workers(self) -> int:
        return len(self.cpus)

    def places(self, ports: Sequence[int]) -> Places:
        """For a policy: of each group the place in `ports` of its port."""
        homes = [self.ports[port] for port in ports]
        return Places.of(self.topology, self.cpus, homes, lines=self.work.lines, model=self.model)

    def service(self, rates: Floats, flows: Floats, use: Floats | None = None) -> tuple[Floats, Floats]:
        """(worker, port): ns of a packet, polls apart, for packets/s that workers handle of each port and the flows
        that each has; and the use of links and controllers that follows from it. Where `use` was something else
        before, it is halfway."""
        missed = self.missed(flows)
        now = self._use(rates, missed) if use is None else (self._use(rates, missed) + use) / 2
        held = np.minimum(now, FULL)
        delay = 1 + held * held / (1 - held) / self.model.overlap + STEEP * np.maximum(now - FULL, 0.0)
        latencies = np.where(self._way > 0, delay, 1.0).max(axis=2) * self._latencies
        local = self._nodes[:, None] == self._homes[None, :]
        of_packet = np.where(local, self.model.l3, latencies[self._nodes][:, self._homes]) * self.work.lines
        of_record = RECORD_LINES * ((1 - missed) * self.model.l3 + missed * latencies[self._nodes, self._nodes])
        ns = self.work.ns + (of_packet + of_record[:, None]) / self.model.overlap
        return np.where(self._shared[:, None], ns * (1 + self.model.slowdown), ns), now

    def missed(self, flows: Floats) -> Floats:
        """The share of lines of records that are not in L3, by worker, which have so many flows."""
        wanted = np.bincount(self._domains, flows * RECORD + RING, minlength=len(self._sizes))
        found: Floats = self.curve.missed(wanted / self._sizes)[self._domains]
        return found

    def alone(self) -> float:
        """ns of a packet on its own node where nothing else is, its share of a poll and all."""
        return (
            self.work.ns
            + (self.work.lines + RECORD_LINES) * self.model.l3 / self.model.overlap
            + self.work.poll_ns / 16
        )

    def _use(self, rates: Floats, missed: Floats) -> Floats:
        """Of each link's direction and each controller, as shares of what it can do."""
        away = np.where(self._nodes[:, None] == self._homes[None, :], 0.0, rates)
        read = np.zeros(self._way.shape[:2])
        np.add.at(read, (self._nodes[:, None], self._homes[None, :]), away * self.work.lines * LINE)
        # Records are read and written back.
        np.add.at(read, (self._nodes, self._nodes), rates.sum(axis=1) * RECORD_LINES * missed * LINE * 2)
        taken = np.einsum("ij,ijk->k", read, self._way)
        # Packets for other nodes leave their port's L3: they are written to its memory, and read to be sent.
        np.add.at(taken, self._arcs + self._homes, away.sum(axis=0) * self.work.size * 2)
        found: Floats = taken / self.capacity
        return found
