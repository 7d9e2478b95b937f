"""What `burstline run` says while it runs: lines for a person, or objects of JSON for a program, on standard error."""

from __future__ import annotations

import datetime
import json
import os
import sys
from collections.abc import Iterable
from typing import Any

from burstline.cli.progress import ProgressLine
from burstline.engine.events import Event, Events
from burstline.engine.report import Report
from burstline.errors import BurstlineError

WARNING = "warning"
LOGS = ("plain", "json")


class RunLog:
    """`as_json`: each line is an object with `time` (RFC 3339), `level`, `event`, `message` and `pid`; what the engine
    tells as an event is not said again."""

    def __init__(self, as_json: bool, progress: ProgressLine) -> None:
        self.as_json, self._progress = as_json, progress
        self._warned: set[str] = set()

    def follow(self, events: Events) -> None:
        """From now on events of a run become lines, if the log is of JSON."""
        if self.as_json:
            events.sinks.append(self._event)

    def said(self, line: str) -> None:
        """What is an event, too, or of no interest to a program."""
        if not self.as_json:
            self._progress.clear()
            print(f"burstline: {line}", file=sys.stderr, flush=True)

    def decided(self, lines: str) -> None:
        """What the steering controller did, and why."""
        if self.as_json:
            self._write("info", "steering", " ".join(lines.split()))
        else:
            self._progress.clear()
            print(lines, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line of progress away, before something else is printed."""
        self._progress.clear()

    def refused(self, error: Exception) -> None:
        """A swap that did not come to be."""
        hint: dict[str, Any] = {"hint": error.hint} if isinstance(error, BurstlineError) and error.hint else {}
        what = error.message if isinstance(error, BurstlineError) else f"{type(error).__name__}: {error}"
        self._write("error", "swap", f"the pipeline runs on as it was: {what}", **hint)

    def warnings(self, warnings: Iterable[str]) -> None:
        """At the end of a run; each is said once."""
        for warning in warnings:
            if not self.as_json:
                print(f"burstline: warning: {warning}", file=sys.stderr)
            elif warning not in self._warned:
                self._write(WARNING, WARNING, warning)

    def ended(self, report: Report) -> None:
        """The run is over."""
        if self.as_json:
            counts = {name: getattr(report, name).packets for name in ("received", "sent", "consumed", "dropped")}
            self._write("info", "end", f"ended after {report.seconds:.3f} s", seconds=report.seconds, packets=counts)

    def _event(self, event: Event) -> None:
        if event.kind == WARNING:
            self._warned.add(event.text)
        self._write(WARNING if event.kind == WARNING else "info", event.kind, event.text, time=event.time)

    def _write(self, level: str, event: str, message: str, *, time: float | None = None, **more: Any) -> None:
        moment = datetime.datetime.now(datetime.UTC)
        if time is not None:
            moment = datetime.datetime.fromtimestamp(time, datetime.UTC)
        about = {"time": moment.isoformat(timespec="milliseconds"), "level": level, "event": event, "message": message}
        print(json.dumps({**about, "pid": os.getpid(), **more}), file=sys.stderr, flush=True)
