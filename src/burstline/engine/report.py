"""What a run did: packets in, out, consumed and dropped by name, which always add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from burstline.buffers.usage import ClassUsage
from burstline.engine.burst_costs import lines as cost_lines
from burstline.export.counts import export_lines
from burstline.steering.control.decision_log import summary as decision_lines


@dataclass(frozen=True)
class Count:
    packets: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.packets + other.packets, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.packets - other.packets, self.bytes - other.bytes)


# A way out of a stage: chain and place, the kind (next, error, consume, chain, drop, send), and what it leads to.
Edge = tuple[int, int, str, str]


BACK_ENDS = {"rte_flow": "rte_flow", "xdp": "XDP", "software": "the software director"}


@dataclass
class Report:
    """The result of a run. `received + made = sent + consumed + dropped`, in packets and in bytes on the wire."""

    source: str
    mode: str  # compiled or interpreted
    workers: int = 1
    received: Count = field(default_factory=Count)
    made: Count = field(default_factory=Count)  # by stages
    sent: Count = field(default_factory=Count)
    consumed: Count = field(default_factory=Count)
    drops: dict[str, Count] = field(default_factory=dict)
    seconds: float = 0.0  # of packet processing
    first_packet_seconds: float | None = None  # from the start of the process to the first packet processed
    dispatch: str = ""  # of the last pipeline
    edges: dict[Edge, int] = field(default_factory=dict)  # packets of the last pipeline by edge, where they are counted
    swaps: list[float] = field(default_factory=list)  # when all workers ran by a new pipeline: seconds since the epoch
    stopped: bool = False  # before the source came to its end
    warnings: list[str] = field(default_factory=list)
    ports: list[dict[str, Any]] = field(default_factory=list)
    buffers: list[ClassUsage] = field(default_factory=list)  # of each size class, at the end
    costs: list[dict[str, Any]] = field(default_factory=list)  # burst_costs.Cost, where they were asked for
    exports: list[dict[str, Any]] = field(default_factory=list)  # exports.export_counts: of each sink of flow records
    steering: dict[str, Any] = field(default_factory=dict)  # LiveSteering.as_json, where there was some
    placement: dict[str, Any] = field(default_factory=dict)  # LivePlacement.as_json, of a live run

    @property
    def dropped(self) -> Count:
        return sum(self.drops.values(), Count())

    @property
    def balanced(self) -> bool:
        """Every packet is accounted for exactly once."""
        return self.received + self.made == self.sent + self.consumed + self.dropped

    @property
    def rate(self) -> float:
        """Packets a second."""
        return self.received.packets / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "mode": self.mode,
            "workers": self.workers,
            "dispatch": self.dispatch,
            "swaps": self.swaps,
            "packets_in": self.received.packets,
            "bytes_in": self.received.bytes,
            "packets_made": self.made.packets,
            "bytes_made": self.made.bytes,
            "packets_out": self.sent.packets,
            "bytes_out": self.sent.bytes,
            "packets_consumed": self.consumed.packets,
            "bytes_consumed": self.consumed.bytes,
            "drops": {name: {"packets": c.packets, "bytes": c.bytes} for name, c in self.drops.items()},
            "seconds": self.seconds,
            "rate": self.rate,
            "first_packet_seconds": self.first_packet_seconds,
            "stopped": self.stopped,
            "warnings": self.warnings,
            "ports": self.ports,
            "buffers": [each.as_json() for each in self.buffers],
            "costs": self.costs,
            "exports": self.exports,
            "steering": self.steering,
            "placement": self.placement,
        }

    def lines(self) -> list[str]:
        """For a terminal."""
        rows = [("received", self.received), ("made by stages", self.made), ("sent", self.sent)]
        rows = [row for row in rows if row[0] != "made by stages" or self.made.packets]
        rows.append(("consumed", self.consumed))
        rows += [(f"dropped: {name}", count) for name, count in sorted(self.drops.items())]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:<{width}}  {c.packets:>15,} packets  {c.bytes:>19,} bytes" for name, c in rows]
        lines += buffer_lines([each.as_json() for each in self.buffers])
        workers = f"{self.workers} worker{'s' if self.workers > 1 else ''}"
        swapped = f", {len(self.swaps):,} swap{'s' if len(self.swaps) > 1 else ''}" if self.swaps else ""
        ended = ", stopped" if self.stopped else ""
        lines.append(
            f"{self.seconds:.3f} s, {in_units(self.rate, 'pps')}, "
            f"{in_units(8 * self.received.bytes / self.seconds if self.seconds else 0, 'bit/s')} "
            f"({self.mode}, {workers}{swapped}{ended})"
        )
        lines += [
            f"port {number}, {port['device']}: {port['receive']['text']}"
            for number, port in enumerate(self.ports)
            if "receive" in port
        ]
        lines += [
            f"port {number}, {port['device']}: {port['offloads']['summary']}"
            for number, port in enumerate(self.ports)
            if port.get("offloads", {}).get("summary")
        ]
        lines += export_lines(self.exports)
        lines += placement_lines(self.placement)
        return lines + steering_lines(self.steering) + decision_lines(self.steering) + cost_lines(self.costs)


def placement_lines(placement: Mapping[str, Any]) -> list[str]:
    """Where a plan had workers, what moved, and what is not where it belongs; nothing of a run without a plan or moves,
    which `burstline doctor` looks at."""
    if not placement or not (placement["plan"] or placement["moves"]):
        return []
    workers = [t for t in placement["where"]["threads"] if t["worker"] is not None and t["worker"] >= 0]
    cpus = ", ".join(",".join(map(str, thread["cpus"])) for thread in workers)
    told = f"as planned ({placement['plan']['from']})" if placement["plan"] else "without a plan"
    moves = placement["moves"]
    moved = f"; {len(moves)} move{'s' * (len(moves) > 1)} of workers" if moves else ""
    lines = [f"placement {told}: workers on CPUs {cpus}{moved}"]
    for each in placement["misplaced"]:
        lines += [f"  {each['what']}", f"    mend: {each['fix']}"]
    return lines


def steering_lines(steering: Mapping[str, Any]) -> list[str]:
    """How packets were shared out, who steered each port and why, and what each rule that counts has counted."""
    if not steering:
        return []
    shares = ", ".join(f"{packets:,}" for packets in steering["workers"])
    lines = [f"flow director: {shares} packets to workers 0 to {len(steering['workers']) - 1}"]
    for port in steering["ports"]:
        lines.append(
            f"port {port['number']}, {port['device']}: steered by {BACK_ENDS[port['back_end']]}: {port['why']}"
        )
        lines += [f"  not by {BACK_ENDS[each['back_end']]}: {each['why']}" for each in port["refused"]]
        if (first := min(port["together"])) != port["number"]:
            lines.append(f"  rules and counts are those of port {first}")
            continue
        lines += [_rule_line(each) for each in port["rules"]]
    return lines


def _rule_line(each: Mapping[str, Any]) -> str:
    counted = "" if each["packets"] is None else f": {each['packets']:,} packets, {each['bytes']:,} bytes"
    by = f" by '{each['by']}'" if each["by"] else ""
    why = f": {each['why']}" if each["why"] else ""
    return f"  {each['rule']}{counted} ({each['level'] or 'never'}{by}{why})"


def buffer_lines(classes: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each size class of which a buffer was ever taken, from what `ClassUsage.as_json` gives."""
    lines = []
    for one in classes:
        if not (one["taken"] or one["failed"] or one["peak"] > 0):
            continue
        node = f" on node {one['node']}" if one["node"] > 0 else ""
        seen = f" (at most {one['peak']:,})" if one["peak"] >= 0 else ""
        if one["forecast"] >= 0:
            seen = f" (at most {one['peak']:,}, {one['forecast']:,} expected)"
        lines.append(
            f"buffers of {one['size']:,} bytes{node}: {one['in_use']:,} of {one['populated']:,} in use{seen}, "
            f"{one['cached']:,} in caches, {one['depot']:,} in the depot; {one['misses']:,} misses, "
            f"{one['failed']:,} not to be had"
        )
    return lines


def in_units(value: float, unit: str) -> str:
    """1,234,567 as `1.23 M`."""
    for scale, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.2f} {prefix}{unit}"
    return f"{value:.0f} {unit}"
