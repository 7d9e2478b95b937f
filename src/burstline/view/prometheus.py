"""A run's metrics for Prometheus, named by its conventions: base units, `_total` for what only grows, few labels.

Labels are of what a run has a fixed number of: workers, ports, sizes of buffers, stages, counters; and of drop reasons,
of which the most frequent ones are told and the others are `other`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from burstline.view.snapshot import Rate, Snapshot

T = TypeVar("T")
MOST = 100  # drop reasons, counters and stages each
OTHER = "other"
FLOWS = {
    "received": "came from ports or the file",
    "sent": "went out",
    "consumed": "ended in a stage or at the end of the pipeline",
}
PORTS = {
    "received": ("received_packets", "received, by the device's own count"),
    "sent": ("sent_packets", "sent, by the device's own count"),
    "missed": ("missed_packets", "dropped by the device since its queues were full"),
    "errors": ("receive_errors", "received with errors"),
    "send_errors": ("send_errors", "not sent, by the device's own count"),
    "no_buffer": ("no_buffer", "dropped by the driver since there was no packet buffer"),
}


class RunMetrics(Collector):
    """What there is to be told of one snapshot; `is_over` says that the run has ended since."""

    def __init__(self, snap: Snapshot, is_over: bool = False) -> None:
        self._snap, self._is_over = snap, is_over

    def collect(self) -> Iterator[Metric]:
        snap = self._snap
        yield _gauge("burstline_up", "Whether the run goes on.", 0.0 if self._is_over else 1.0)
        about = {"app": snap.app, "source": snap.source, "pid": str(snap.pid)}
        yield InfoMetricFamily("burstline_run", "What is run.", value=about)
        yield _gauge("burstline_start_time_seconds", "When the run began, in seconds since the epoch.", snap.started)
        yield _gauge("burstline_snapshot_age_seconds", "How old the counts of the slowest worker are.", snap.age)
        yield from self._packets()
        yield from self._workers()
        yield from self._ports()
        yield from self._pools()
        yield from self._stages()
        yield from self._steering()

    def _packets(self) -> Iterator[Metric]:
        snap = self._snap
        for name, what in FLOWS.items():
            packets = CounterMetricFamily(f"burstline_{name}_packets", f"Packets that {what}.", labels=["worker"])
            octets = CounterMetricFamily(f"burstline_{name}_bytes", f"Bytes of packets that {what}.", labels=["worker"])
            for worker in snap.workers:
                rate: Rate = getattr(worker, name)
                packets.add_metric([str(worker.number)], rate.packets)
                octets.add_metric([str(worker.number)], rate.bytes)
            yield packets
            yield octets
        packets = CounterMetricFamily("burstline_dropped_packets", "Packets dropped, by reason.", labels=["reason"])
        octets = CounterMetricFamily("burstline_dropped_bytes", "Bytes of packets dropped.", labels=["reason"])
        for reason, rate in bounded(snap.drops).items():
            packets.add_metric([reason], rate.packets)
            octets.add_metric([reason], rate.bytes)
        yield packets
        yield octets
        counters = CounterMetricFamily("burstline_application", "The pipeline's own counters.", labels=["name"])
        for name, value in by_name((each.name, each.value) for each in snap.counters).items():
            counters.add_metric([name], sum(value))
        yield counters

    def _workers(self) -> Iterator[Metric]:
        polls = CounterMetricFamily("burstline_worker_polls", "Looks of a worker at its ports.", labels=["worker"])
        useful = CounterMetricFamily("burstline_worker_useful_polls", "Looks that found packets.", labels=["worker"])
        load = GaugeMetricFamily(
            "burstline_worker_load_ratio", "Share of looks at ports that found packets.", labels=["worker", "core"]
        )
        fill = GaugeMetricFamily("burstline_worker_burst_packets", "Packets of such a look.", labels=["worker", "core"])
        for worker in self._snap.workers:
            names = [str(worker.number), str(worker.core)]
            if worker.polls is not None and worker.useful_polls is not None:
                polls.add_metric(names[:1], worker.polls)
                useful.add_metric(names[:1], worker.useful_polls)
            if worker.load is not None:
                load.add_metric(names, worker.load)
            if worker.fill is not None:
                fill.add_metric(names, worker.fill)
        yield from (polls, useful, load, fill)

    def _ports(self) -> Iterator[Metric]:
        for key, (name, what) in PORTS.items():
            family = CounterMetricFamily(f"burstline_port_{name}", f"Packets {what}.", labels=["port", "device"])
            for number, port in enumerate(self._snap.ports):
                family.add_metric([str(number), port["device"]], port[key])
            yield family

    def _pools(self) -> Iterator[Metric]:
        labels = ["size", "node"]
        buffers = GaugeMetricFamily(
            "burstline_pool_buffers", "Packet buffers by where they are.", labels=[*labels, "state"]
        )
        forecast = GaugeMetricFamily("burstline_pool_forecast_buffers", "Buffers expected in use.", labels=labels)
        memory = GaugeMetricFamily("burstline_pool_memory_bytes", "Memory of the buffers.", labels=labels)
        misses = CounterMetricFamily(
            "burstline_pool_misses", "Magazines fetched since a core's own were empty.", labels=labels
        )
        failures = CounterMetricFamily("burstline_pool_failures", "Buffers that could not be had.", labels=labels)
        for pool in self._snap.pools:
            names = [str(pool["size"]), str(pool["node"])]
            for state in ("in_use", "cached", "depot", "parked"):
                buffers.add_metric([*names, state], pool[state])
            if pool["forecast"] >= 0:
                forecast.add_metric(names, pool["forecast"])
            if pool["memory"]:
                memory.add_metric(names, pool["memory"])
            misses.add_metric(names, pool["misses"])
            failures.add_metric(names, pool["failed"])
        yield from (buffers, forecast, memory, misses, failures)

    def _stages(self) -> Iterator[Metric]:
        cost = GaugeMetricFamily(
            "burstline_stage_seconds_per_packet", "Time of a phase or stage, when it was measured.", labels=["stage"]
        )
        for name, found in by_name((each.name, each) for each in self._snap.costs).items():
            packets = sum(each.packets for each in found)
            cost.add_metric([name], sum(each.packets * each.ns for each in found) / packets / 1e9)
        yield cost

    def _steering(self) -> Iterator[Metric]:
        rules = GaugeMetricFamily("burstline_steering_rules", "Rules of a port.", labels=["port", "device", "back_end"])
        for port in self._snap.steering.get("ports", []):
            rules.add_metric([str(port["number"]), port["device"], port["back_end"]], port["count"])
        yield rules


def bounded(drops: Mapping[str, Rate]) -> dict[str, Rate]:
    """The most frequent ones by name, the others together."""
    ordered = sorted(drops.items(), key=lambda item: -item[1].packets)
    found = dict(ordered[:MOST])
    for _, rate in ordered[MOST:]:
        found[OTHER] = found.get(OTHER, Rate()) + rate
    return found


def by_name(found: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    """Of as many names as there may be labels. Several may have one name: a stage in two chains, counters of two
    modules; a series must be there once."""
    named: dict[str, list[T]] = {}
    for name, each in found:
        if name in named or len(named) < MOST:
            named.setdefault(name, []).append(each)
    return named


def exposition(snap: Snapshot, accept: str = "", is_over: bool = False) -> tuple[bytes, str]:
    """The text and its type, in the format that an Accept header asks for: Prometheus' own, or OpenMetrics."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunMetrics(snap, is_over))
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def _gauge(name: str, what: str, value: float) -> Metric:
    return GaugeMetricFamily(name, what, value=value)
