"""`burstline stats [RUN]`: what running pipelines count, read from shared memory while they run."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from burstline.engine.report import Count, buffer_lines, in_units
from burstline.engine.stats_reader import Reading, RunFile, WorkerCounts, open_runs
from burstline.errors import UsageError
from burstline.export.counts import export_lines

LONGEST_WAIT = 2.0  # seconds for a second snapshot, without which there is no rate
MADE = "made by stages"
NOTHING_NEW = 0.02  # seconds between looks for it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("which", metavar="RUN", nargs="?", help="a process or an application; all runs when left out")
    parser.add_argument("--workers", action="store_true", help="each worker too")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each run; with --watch each time")
    parser.add_argument(
        "--watch", metavar="SECONDS", nargs="?", type=float, const=1.0, help="again and again (default: every second)"
    )


def run(args: argparse.Namespace) -> int:
    if args.watch is not None and not args.watch > 0:
        raise UsageError(f"--watch {args.watch} is no time to wait", "write a number of seconds, such as 0.5")
    runs = open_runs(args.which)
    try:
        before = [each.read() for each in runs]
        while runs:
            after = _later(runs, before, args.watch)
            _print([Interval(a, b) for a, b in zip(before, after, strict=True)], args)
            if args.watch is None:
                return 0
            going = [k for k, (each, now) in enumerate(zip(runs, after, strict=True)) if _goes_on(each, now)]
            runs, before = [runs[k] for k in going], [after[k] for k in going]
    except KeyboardInterrupt:
        pass
    return 0


def _goes_on(each: RunFile, now: Reading) -> bool:
    if now.ended:
        print(f"burstline: {now.directory['app']} has ended", file=sys.stderr)
    elif each.is_abandoned:
        print(f"burstline: {now.directory['app']} ({now.directory['pid']}) was killed", file=sys.stderr)
    else:
        return True
    each.close()
    return False


def _later(runs: Sequence[RunFile], before: Sequence[Reading], wait: float | None) -> list[Reading]:
    """After `wait` seconds, or when every worker has taken another snapshot."""
    deadline = time.monotonic() + (LONGEST_WAIT if wait is None else wait)
    while True:
        after = [each.read() for each in runs]
        left = deadline - time.monotonic()
        over = all(r.ended for r in after) or (wait is None and all(map(_has_moved, before, after)))
        if over or left <= 0:
            return after
        time.sleep(min(left, NOTHING_NEW if wait is None else 0.1))


def _has_moved(before: Reading, after: Reading) -> bool:
    return after.ended or all(b.clock > a.clock for a, b in zip(before.workers, after.workers, strict=True))


@dataclass(frozen=True)
class Line:
    """A row of the table: packets and bytes with their rates, or a counter's value and rate."""

    name: str
    count: int
    rate: float
    octets: int | None = None
    octet_rate: float = 0.0


@dataclass(frozen=True)
class Interval:
    """Two readings of a run, from which there are rates."""

    before: Reading
    after: Reading

    def lines(self, chosen: Iterable[int]) -> list[Line]:
        """Of some workers, added up. A worker's rates are over the time between its own two snapshots."""
        pairs = [(self.before.workers[k], self.after.workers[k]) for k in chosen]
        reasons = sorted({reason for _, now in pairs for reason in now.drops})
        rows = [_packets(name, pairs, name) for name in ("received", "sent", "consumed")]
        if any(now.made for _, now in pairs):
            made = sum((b.made - a.made) * _per_second(a, b) for a, b in pairs)
            rows.append(Line(MADE, sum(now.made for _, now in pairs), made))
        rows += [_packets(f"dropped: {reason}", pairs, reason) for reason in reasons]
        for identity, name in self.after.names.items():
            values = [(a.counters.get(identity, 0), b.counters.get(identity, 0)) for a, b in pairs]
            rate = sum((y - x) * _per_second(a, b) for (x, y), (a, b) in zip(values, pairs, strict=True))
            rows.append(Line(f"counter: {name}", sum(y for _, y in values), rate))
        return rows

    @property
    def age(self) -> float:
        """Seconds since the snapshot that is oldest."""
        return max(
            0.0, time.monotonic() - min((w.clock for w in self.after.workers if w.clock), default=time.monotonic())
        )

    def as_json(self, workers: bool) -> dict[str, Any]:
        about = self.after.directory
        everyone = range(len(self.after.workers))
        found = {
            "pid": about["pid"],
            "app": about["app"],
            "source": about["source"],
            "started": about["started"],
            "ended": self.after.ended,
            "age": self.age,
            **_as_json(self.lines(everyone), self.after.names.values()),
            "buffers": about.get("buffers", []),
            "exports": about.get("exports", []),
            "placement": about.get("placement", {}),
        }
        if workers:
            found["workers"] = [
                {"core": self.after.workers[k].core, **_as_json(self.lines([k]), self.after.names.values())}
                for k in everyone
            ]
        return found


def _packets(name: str, pairs: Sequence[tuple[WorkerCounts, WorkerCounts]], key: str) -> Line:
    old, new = ([_count(w, key) for w in column] for column in zip(*pairs, strict=True))
    times = [_per_second(a, b) for a, b in pairs]
    return Line(
        name,
        sum(c.packets for c in new),
        sum((b.packets - a.packets) * t for a, b, t in zip(old, new, times, strict=True)),
        sum(c.bytes for c in new),
        sum((b.bytes - a.bytes) * t for a, b, t in zip(old, new, times, strict=True)),
    )


def _count(worker: WorkerCounts, key: str) -> Count:
    by_name = {"received": worker.received, "sent": worker.sent, "consumed": worker.consumed}
    return by_name[key] if key in by_name else worker.drops.get(key, Count())


def _per_second(a: WorkerCounts, b: WorkerCounts) -> float:
    return 1 / (b.clock - a.clock) if b.clock > a.clock and a.clock else 0.0


def _as_json(rows: Sequence[Line], names: Iterable[str]) -> dict[str, Any]:
    def packets(row: Line) -> dict[str, Any]:
        return {"packets": row.count, "bytes": row.octets, "pps": row.rate, "bit_rate": 8 * row.octet_rate}

    counters = rows[len(rows) - len(list(names)) :] if names else []
    drops = [row for row in rows[3 : len(rows) - len(counters)] if row.name != MADE]
    return {
        **{row.name: packets(row) for row in rows[:3]},
        "made": next(({"packets": r.count, "pps": r.rate} for r in rows if r.name == MADE), {"packets": 0, "pps": 0.0}),
        "drops": {row.name.removeprefix("dropped: "): packets(row) for row in drops},
        "counters": [
            {"name": row.name.removeprefix("counter: "), "value": row.count, "rate": row.rate} for row in counters
        ],
    }


def _print(intervals: Sequence[Interval], args: argparse.Namespace) -> None:
    for number, each in enumerate(intervals):
        if args.json:
            print(json.dumps(each.as_json(args.workers), indent=None if args.watch else 2), flush=True)
            continue
        if number:
            print()
        print("\n".join(_text(each, args.workers)), flush=True)


def _text(each: Interval, workers: bool) -> list[str]:
    about, count = each.after.directory, len(each.after.workers)
    running = time.time() - about["started"]
    lines = [
        f"{about['app']} over {about['source']}: process {about['pid']}, {count} worker{'s' if count > 1 else ''}, "
        f"{'ended' if each.after.ended else 'running'} after {running:.1f} s, {1000 * each.age:.0f} ms ago"
    ]
    lines += _table(each.lines(range(count)))
    lines += buffer_lines(about.get("buffers", []))
    lines += export_lines(about.get("exports", []))
    for wrong in about.get("placement", {}).get("misplaced", []):
        lines += [f"misplaced: {wrong['what']}", f"  mend: {wrong['fix']}"]
    if workers:
        for k, worker in enumerate(each.after.workers):
            lines += ["", f"worker {k}, core {worker.core}", *_table(each.lines([k]))]
    return lines


def _table(rows: Sequence[Line]) -> list[str]:
    width = max(len(row.name) for row in rows)
    return [f"{row.name:<{width}}  {row.count:>15,}{_rest(row)}" for row in rows]


def _rest(row: Line) -> str:
    if row.octets is None:
        return f"  {'':27}  {in_units(row.rate, '/s'):>12}"
    bits = in_units(8 * row.octet_rate, "bit/s")
    return f" packets {row.octets:>18,} bytes  {in_units(row.rate, 'pps'):>12}  {bits:>12}"
