"""Each view of a run as a table for a terminal of 80 columns and more."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from burstline.engine.report import BACK_ENDS, in_units
from burstline.view.snapshot import Rate, Snapshot, Worker

BAR = 8  # columns of a full bar
WARM, HOT = 0.7, 0.9  # shares from which on a bar is yellow, and red
PHASES = ("receive", "parse", "stages", "send")


def overview(snap: Snapshot) -> RenderableType:
    """Packets and bits, drops by name, counters, and the load of cores in one line each."""
    rows = _table("", "packets>", "packets/s>", "bit/s>", "bytes>")
    for name in ("received", "sent", "consumed", "dropped"):
        rate = snap.totals[name]
        rows.add_row(Text(name, "bold"), *_amounts(rate))
    for reason, rate in _largest(snap.drops.items(), lambda item: item[1].pps):
        rows.add_row(Text(f"  {reason}", "red" if rate.pps else "dim"), *_amounts(rate))
    parts: list[RenderableType] = [rows]
    if snap.counters:
        counters = _table("counter", "value>", "a second>")
        for each in snap.counters:
            counters.add_row(Text(each.name), f"{each.value:,}", in_units(each.rate, "/s"))
        parts += ["", counters]
    parts += ["", cores(snap)]
    return Group(*parts)


def stages(snap: Snapshot) -> RenderableType:
    """Cycles a packet, as they were measured last."""
    if not snap.costs:
        return Text(
            "Nothing is measured yet. Press m: workers go over to code that counts cycles\n"
            "and edges for a second, and back. No packet is lost; they are slower meanwhile.",
            "dim",
        )
    rows = _table("", "packets>", "cycles a packet>", "ns>", "share")
    whole = sum(cost.cycles for cost in snap.costs if cost.name in PHASES)
    phases = [cost for cost in snap.costs if cost.name in PHASES]
    inside = [cost for cost in snap.costs if cost.name not in PHASES]
    for cost in [*phases[:3], *inside, *phases[3:]]:  # those of the stages are below all of them
        stage = cost.name not in PHASES
        share = _bar(cost.cycles / whole if whole else 0.0, plain=True)
        name = Text(f"  {cost.name.removeprefix('stage ')}" if stage else cost.name, "" if stage else "bold")
        rows.add_row(name, f"{cost.packets:,}", f"{cost.cycles:,.1f}", f"{cost.ns:,.1f}", share)
    when = time.strftime("%H:%M:%S", time.localtime(snap.measured))
    return Group(rows, "", Text(f"measured at {when}; m measures again", "dim"))


def cores(snap: Snapshot) -> RenderableType:
    """A row for each worker: what it does, how busy it is, and its ports below."""
    rows = _table("worker", "core>", "load", ">", "received>", "sent>", "dropped>", "fill>", "batch>")
    for worker in snap.workers:
        rows.add_row(
            f"{worker.number}", f"{worker.core}", _bar(worker.load), _percent(worker.load),
            *(in_units(rate.pps, "/s") for rate in (worker.received, worker.sent, worker.dropped)),
            "-" if worker.fill is None else f"{worker.fill:.1f}", "-" if worker.batch is None else f"{worker.batch}",
        )  # fmt: skip
    return rows


def queues(snap: Snapshot) -> RenderableType:
    """Cores, and what devices say of themselves."""
    if not snap.ports:
        return Group(cores(snap), "", Text("Over a file there are no ports.", "dim"))
    rows = _table("port", "device", "queues>", "received>", "sent>", "missed>", "errors>", "no buffer>")
    for number, port in enumerate(snap.ports):
        rows.add_row(
            f"{number}", Text(_short(port["device"], 24)), f"{port['queues']}", _rate(port["received_rate"]),
            _rate(port["sent_rate"]), _alarm(port["missed"]), _alarm(port["errors"]), _alarm(port["no_buffer"]),
        )  # fmt: skip
    return Group(
        cores(snap), "", rows, "", Text("load: looks at ports that found packets; fill: packets of such a look", "dim")
    )


def pools(snap: Snapshot) -> RenderableType:
    """Packet buffers by size: what is used, beside what was forecast."""
    rows = _table("bytes>", "node>", "in use>", "of>", "", "forecast>", "peak>", "misses>", "none left>")
    for pool in snap.pools:
        share = pool["in_use"] / pool["populated"] if pool["populated"] else 0.0
        node, forecast = (f"{pool[name]:,}" if pool[name] >= 0 else "-" for name in ("node", "forecast"))
        rows.add_row(
            f"{pool['size']:,}", node, f"{pool['in_use']:,}", f"{pool['populated']:,}", _bar(share), forecast,
            f"{max(pool['peak'], 0):,}", f"{pool['misses']:,}", _alarm(pool["failed"]),
        )  # fmt: skip
    if not snap.pools:
        return Text("No packet buffers: over a file, packets stay in its chunks.", "dim")
    return Group(rows, "", Text("misses: magazines fetched since a core's own were empty", "dim"))


def steering(snap: Snapshot) -> RenderableType:
    """Who steers each port, and its rules, those with most packets first."""
    if not snap.steering:
        return Text("Nothing is steered: write enable_flow_director = true into burstline.toml.", "dim")
    shares = ", ".join(f"{packets:,}" for packets in snap.steering["workers"])
    parts: list[RenderableType] = [Text(f"packets of workers 0 to {len(snap.steering['workers']) - 1}: {shares}")]
    for port in snap.steering["ports"]:
        parts += [
            "",
            Text(f"port {port['number']}, {_short(port['device'], 30)}: {BACK_ENDS[port['back_end']]}", "bold"),
        ]
        parts.append(Text(f"  {port['why']}", "dim"))
        if not port["rules"]:
            continue
        rows = _table("packets>", "level", "rule")
        for rule in port["rules"]:
            packets = "-" if rule["packets"] is None else f"{rule['packets']:,}"
            rows.add_row(packets, rule["level"] or "never", Text(rule["rule"]))
        parts.append(rows)
        if port["count"] > len(port["rules"]):
            parts.append(Text(f"  and {port['count'] - len(port['rules']):,} rules more", "dim"))
    return Group(*parts)


def events(snap: Snapshot) -> RenderableType:
    """What happened, the newest first."""
    rows = _table("time", "", "what")
    for event in reversed(snap.events):
        when = time.strftime("%H:%M:%S", time.localtime(event["time"]))
        rows.add_row(
            Text(when, "dim"),
            Text(event["kind"], "yellow" if event["kind"] == "warning" else "cyan"),
            Text(event["text"]),
        )
    return rows


def _table(*columns: str) -> Table:
    """Columns by title; one that ends with > is of numbers."""
    table = Table(box=None, pad_edge=False, padding=(0, 1), header_style="dim")
    for title in columns:
        right = title.endswith(">")
        wide = title in ("what", "rule", "device")
        table.add_column(title.rstrip(">"), justify="right" if right else "left", no_wrap=not wide)
    return table


def _amounts(rate: Rate) -> Sequence[str]:
    return f"{rate.packets:,}", in_units(rate.pps, "pps"), in_units(rate.bps, "bit/s"), in_units(rate.bytes, "B")


def _largest(items: Iterable[Any], by: Callable[[Any], float]) -> list[Any]:
    return sorted(items, key=by, reverse=True)


def _bar(share: float | None, *, plain: bool = False) -> Text:
    if share is None:
        return Text("-", "dim")
    share = min(1.0, max(0.0, share))
    full = round(share * BAR)
    colour = "green" if plain or share < WARM else "yellow" if share < HOT else "red"
    return Text.assemble(("━" * full, colour), ("━" * (BAR - full), "bright_black"))


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.0f} %"


def _rate(packets: float | None) -> str:
    return "-" if packets is None else in_units(packets, "pps")


def _alarm(count: int) -> Text:
    return Text(f"{count:,}", "red" if count else "")


def _short(text: str, width: int) -> str:
    text = text.removeprefix("dpdk:")
    return text if len(text) <= width else f"{text[: width - 1]}…"


def busiest(workers: Sequence[Worker]) -> float | None:
    """The load of the busiest one."""
    return max((worker.load for worker in workers if worker.load is not None), default=None)
