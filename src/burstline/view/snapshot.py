"""A run at one moment: what views show of it, from two readings of what it publishes."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from burstline.engine.report import Count
from burstline.engine.stats_reader import Reading, WorkerCounts
from burstline.steering.control.decision_log import in_words

NAMES = ("received", "sent", "consumed", "dropped")


@dataclass(frozen=True)
class Rate:
    """Packets and bytes since the run began; packets and bits a second."""

    packets: int = 0
    bytes: int = 0
    pps: float = 0.0
    bps: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.packets + other.packets, self.bytes + other.bytes, self.pps + other.pps, self.bps + other.bps)


@dataclass(frozen=True)
class Worker:
    """`load` is the share of its looks at ports that found packets, `fill` how many packets they found each time,
    `batch` how many it asks for: None over a file, or where nobody looked twice yet."""

    number: int
    core: int
    received: Rate
    sent: Rate
    consumed: Rate
    dropped: Rate
    load: float | None = None
    fill: float | None = None
    batch: int | None = None
    polls: int | None = None
    useful_polls: int | None = None


@dataclass(frozen=True)
class Named:
    """A counter: its value, and how much it grows in a second."""

    name: str
    value: int
    rate: float


@dataclass(frozen=True)
class Cost:
    """Cycles a packet of a stage or a phase of the worker's loop, as they were measured last."""

    name: str
    packets: int
    cycles: float
    ns: float


@dataclass(frozen=True)
class Snapshot:
    """All of it. `time` is in seconds since the epoch, `seconds` how long rates are of, `age` how old what workers
    counted is. Ports, pools, steering and events are as the run publishes them (engine/live_view.py)."""

    pid: int
    app: str
    source: str
    started: float
    ended: bool
    time: float
    age: float
    totals: Mapping[str, Rate]
    drops: Mapping[str, Rate]
    counters: Sequence[Named]
    workers: Sequence[Worker]
    ports: Sequence[Mapping[str, Any]]
    pools: Sequence[Mapping[str, Any]]
    costs: Sequence[Cost]
    measured: float | None  # when costs were measured
    steering: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def snapshot_of(before: Reading, after: Reading) -> Snapshot:
    """Rates are of the time between each worker's own snapshots in two readings of one run."""
    about, shown = after.directory, after.directory.get("shown", {})
    workers = [_worker(before, after, k) for k in range(len(after.workers))]
    pairs = list(zip(before.workers, after.workers, strict=True))
    reasons = sorted({reason for _, now in pairs for reason in now.drops})
    drops = {
        reason: _sum(_rate(a, b, a.drops.get(reason, Count()), b.drops.get(reason, Count())) for a, b in pairs)
        for reason in reasons
    }
    totals = {name: _sum(getattr(worker, name) for worker in workers) for name in NAMES}
    measured = shown.get("measured")
    clocks = [worker.clock for worker in after.workers if worker.clock]
    return Snapshot(
        pid=about["pid"], app=about["app"], source=about["source"], started=about["started"], ended=after.ended,
        time=time.time(), age=max(0.0, time.monotonic() - min(clocks)) if clocks else 0.0,
        totals=totals, drops=drops, counters=list(_counters(after, pairs)), workers=workers,
        ports=_ports(before.directory, about), pools=about.get("buffers", []),
        costs=_costs(measured, shown.get("hz", 0)), measured=measured["until"] if measured else None,
        steering=shown.get("steering", {}), events=_events(about, shown.get("steering", {})),
    )  # fmt: skip


def _worker(before: Reading, after: Reading, number: int) -> Worker:
    a, b = before.workers[number], after.workers[number]
    received, sent, consumed, dropped = (_rate(a, b, getattr(a, name), getattr(b, name)) for name in NAMES)
    polling = _polling(before.directory, after.directory, number)
    return Worker(number, b.core, received, sent, consumed, dropped, **polling)


def _polling(before: Mapping[str, Any], after: Mapping[str, Any], number: int) -> dict[str, Any]:
    then, now = ([*each.get("shown", {}).get("polling", [])] for each in (before, after))
    if number >= len(now):
        return {}
    counts = {name: now[number][name] for name in ("batch", "polls", "useful_polls")}
    if number >= len(then):
        return counts
    sources, ports = now[number]["ports"]
    polls, useful, packets = (now[number][name] - then[number][name] for name in ("polls", "useful_polls", "packets"))
    return {
        "load": min(1.0, useful * ports / (polls * sources)) if polls > 0 else None,
        "fill": packets / useful if useful > 0 else None,
        **counts,
    }


def _rate(a: WorkerCounts, b: WorkerCounts, then: Count, now: Count) -> Rate:
    seconds = b.clock - a.clock if a.clock else 0.0
    if seconds <= 0:
        return Rate(now.packets, now.bytes)
    grown = now - then
    return Rate(now.packets, now.bytes, grown.packets / seconds, 8 * grown.bytes / seconds)


def _sum(rates: Any) -> Rate:
    return sum(rates, Rate())


def _counters(after: Reading, pairs: Sequence[tuple[WorkerCounts, WorkerCounts]]) -> Any:
    for identity, name in after.names.items():
        rate = 0.0
        for a, b in pairs:
            grown = b.counters.get(identity, 0) - a.counters.get(identity, 0)
            rate += grown / (b.clock - a.clock) if a.clock and b.clock > a.clock else 0.0
        yield Named(name, sum(b.counters.get(identity, 0) for _, b in pairs), rate)


def _ports(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What devices say of themselves; rates by when each was asked."""
    then = {port["device"]: port for port in before.get("shown", {}).get("ports", [])}
    found = []
    for port in after.get("shown", {}).get("ports", []):
        old = then.get(port["device"], port)
        seconds = port["clock"] - old["clock"]
        rates = {
            f"{name}_rate": (port[name] - old[name]) / seconds if seconds > 0 else None
            for name in ("received", "sent", "missed")
        }
        found.append({**port, **rates})
    return found


def _costs(measured: Mapping[str, Any] | None, hz: float) -> list[Cost]:
    found = []
    for cost in measured["costs"] if measured else ():
        packets = sum(burst["packets"] for burst in cost["bursts"].values())
        if packets:
            ns = sum(burst["packets"] * burst["ns"] for burst in cost["bursts"].values()) / packets
            found.append(Cost(cost["name"], packets, ns * hz / 1e9, ns))
    return found


def _events(about: Mapping[str, Any], steering: Mapping[str, Any]) -> list[dict[str, Any]]:
    """With what the steering controller decided, oldest first."""
    decided = [
        {
            "number": 0,
            "time": about["started"] + one["time"],
            "kind": "steering",
            "text": f"{in_words(one)}: {one['reason']}",
        }
        for one in steering.get("decisions", [])
    ]
    return sorted([*about.get("events", []), *decided], key=lambda event: event["time"])
