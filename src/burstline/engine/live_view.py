"""What a live run shows of itself beside its workers' counts, for who looks on from outside: read by a thread beside
the workers, which do no more for it than they do anyway."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from burstline.buffers.usage import ClassUsage
from burstline.engine.burst_costs import costs_by_name
from burstline.engine.drop_samples import DropSamples
from burstline.engine.report import Edge
from burstline.engine.tally import sum_edges
from burstline.engine.versions import Versions
from burstline.errors import UsageError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block

if TYPE_CHECKING:
    from burstline.dpdk.port import Port
    from burstline.engine.live import LiveRun
    from burstline.engine.placement.worker_move import WorkerMove

SELDOM = 1.0  # seconds between two looks at what takes longer to read
RULES, DECISIONS = 50, 16  # that are published at most: those with most packets, and the last
POLLING = {"polls": "polls", "useful_polls": "useful_polls", "batch": "batch", "packets": "packets_in"}
LONGEST = 60.0  # seconds of a measurement


class LiveView:
    """Of a run whose packets are about to flow through these ports. Raises UsageError for one that is not published."""

    def __init__(
        self, run: LiveRun, versions: Versions, contexts: Sequence[Block], ports: Sequence[Port], hz: float
    ) -> None:
        if run.publisher is None:
            raise UsageError("the run publishes nothing", "write stats_interval = 0.1 below [engine]")
        self._run, self._publisher = run, run.publisher
        self._versions, self._contexts, self._hz = versions, contexts, hz
        self._ports = list(zip(run.ports.devices, ports, strict=True))
        self._of_ports = [len(run.ports.sources), len(ports)]  # a worker looks at all, and finds packets at sources
        self._always = run.count_edges or run.count_costs  # for the report: a swap would begin anew
        self._one_at_a_time = threading.Lock()
        self._told, self._looked = 0, 0.0
        self._measuring: float | None = time.time() if self._always else None  # since when
        self.last: dict[str, Any] | None = None  # what was measured last
        self.samples = DropSamples(contexts, versions.reason, versions.dropped)

    def show(self, usage: Sequence[ClassUsage]) -> None:
        """Publish how everything is now."""
        shown: dict[str, Any] = {
            "clock": time.monotonic(),
            "hz": self._hz,
            "polling": [
                {name: context.get(field) for name, field in POLLING.items()} | {"ports": self._of_ports}
                for context in self._contexts
            ],
        }
        now = time.monotonic()
        if now - self._looked > SELDOM:
            self._looked = now
            shown["ports"] = [_port(device, port) for device, port in self._ports]
            shown["steering"] = _bounded(self._run.directing.as_json(self._contexts))
            if self._measuring is not None:
                shown["measured"] = self.last = self.measured(self._measuring)
        self._tell_warnings()
        self.samples.step()
        self._publisher.show_buffers(usage, **shown)

    def move(self, worker: int, cpu: int) -> WorkerMove:
        """Have a worker go on on another CPU. Raises UsageError."""
        return self._run.move_worker(worker, cpu)

    def measure(self, seconds: float) -> dict[str, Any]:
        """Have the workers count packets on each edge and cycles of each stage for so long: they go over to code that
        does, and back, and no packet is lost. Raises UsageError; and what compiling raises."""
        if not 0 < seconds <= LONGEST:
            raise UsageError(f"{seconds} seconds are no time to measure for", f"give up to {LONGEST:.0f}")
        with self._one_at_a_time:
            since = time.time()
            if self._always:
                time.sleep(seconds)
                return self.measured(self._measuring or since)
            for region in self._run.costs:
                region.write(0, bytes(region.size))
            try:
                self._run.counts_for_now = True
                self._versions.compile_again()
                self._measuring = since = time.time()
                time.sleep(seconds)
            finally:
                self._measuring = None
                self._run.counts_for_now = False
                # Nobody counts there any more: what went into a stage is what came out of it.
                pipeline, counters = self._versions.compile_again()
            self.last = found = self._found(since, sum_edges(counters), pipeline)
            self._publisher.events.tell("measure", f"packets by edge and cycles by stage over {seconds:g} s")
            self._publisher.show(measured=found)
            return found

    def measured(self, since: float) -> dict[str, Any]:
        """What was counted so far by the version that runs."""
        return self._found(since, sum_edges(self._versions.edge_counters()), self._versions.pipeline)

    def _found(self, since: float, edges: Mapping[Edge, int], pipeline: Pipeline) -> dict[str, Any]:
        timed = {edge: packets for edge, packets in edges.items() if edge[2] in ("cycles", "timed")}
        costs = costs_by_name(timed, pipeline, self._run.costs, self._hz)
        return {
            "since": since,
            "until": time.time(),
            "hz": self._hz,
            "edges": [[*edge, packets] for edge, packets in edges.items() if edge not in timed],
            "costs": [cost.as_json() for cost in costs],
        }

    def _tell_warnings(self) -> None:
        warnings = self._run.report.warnings
        for warning in warnings[self._told :]:
            self._publisher.events.tell("warning", warning)
        self._told = len(warnings)


def _port(device: str, port: Port) -> dict[str, Any]:
    stats = port.stats()
    return {
        "clock": time.monotonic(),
        "device": f"dpdk:{device}",
        "driver": port.driver,
        "queues": port.queues,
        "node": port.numa_node,
        "received": stats.ipackets,
        "received_bytes": stats.ibytes,
        "sent": stats.opackets,
        "sent_bytes": stats.obytes,
        "missed": stats.imissed,
        "errors": stats.ierrors,
        "send_errors": stats.oerrors,
        "no_buffer": stats.rx_nombuf,
    }


def _bounded(steering: Mapping[str, Any]) -> dict[str, Any]:
    """The rules with most packets of each port, and how many there are."""
    if not steering:
        return {}
    ports = []
    for port in steering["ports"]:
        rules = sorted(port["rules"], key=lambda rule: -(rule["packets"] or 0))[:RULES]
        ports.append({**port, "rules": rules, "count": len(port["rules"])})
    more = {"decisions": steering["decisions"][-DECISIONS:]} if "decisions" in steering else {}
    return {**steering, "ports": ports, **more}
