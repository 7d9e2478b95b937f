"""A running engine that a view looks at: found by name, read as often as is wanted, asked what it does not publish."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

from burstline.engine.stats_reader import Reading, RunFile, open_runs
from burstline.engine.threads import usable_cores
from burstline.errors import BurstlineError
from burstline.view.client import NotAnswered, ask
from burstline.view.snapshot import Snapshot, snapshot_of

SPAN = 1.0  # seconds that rates are of, about


class Attached:
    """The run behind a file of statistics. Any thread may call it."""

    def __init__(self, run: RunFile) -> None:
        self._run, self._lock = run, threading.Lock()
        self._readings: list[tuple[float, Reading]] = []
        self._last: Reading = run.read()
        self.over: str | None = None  # why there is nothing new to read any more

    @property
    def path(self) -> Path:
        return self._run.path

    @property
    def pid(self) -> int:
        return int(self._last.directory["pid"])

    @property
    def name(self) -> str:
        """For a person who chooses."""
        about = self._last.directory
        return f"{about['app']} over {about['source']} ({about['pid']})"

    def close(self) -> None:
        self._run.close()

    def keep_off(self) -> None:
        """For the calling thread, and those that it starts."""
        others = set(usable_cores()) - set(self._last.directory["cores"])
        if others and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, others)

    def snapshot(self) -> Snapshot:
        """As it is now, with rates of the last second or, at first, of as long as there is."""
        with self._lock:
            now = time.monotonic()
            if self.over is None:
                self._last = self._run.read()
                self._readings.append((now, self._last))
                if self._last.ended:
                    self.over = "it has ended"
                elif self._run.is_abandoned:
                    self.over = "its process is gone"
            while len(self._readings) > 2 and now - self._readings[1][0] >= SPAN:
                del self._readings[0]
            return snapshot_of(self._readings[0][1], self._last)

    def ask(self, question: str, **more: Any) -> Any:
        """Raises BurstlineError."""
        served = self._last.directory.get("served")
        if not served:
            raise NotAnswered("the run answers no questions", "it was started from Python, or without statistics")
        if self.over is not None:
            raise NotAnswered(f"the run does not answer: {self.over}")
        return ask(self.path.with_name(served), question, **more)


def attach(which: str | None) -> Attached:
    """The run of a process or an application, the only one when None; from now on this process keeps off the cores of
    its workers, where there are others. Raises BurstlineError where there is none, or several and nobody said which."""
    runs = open_runs(which)
    if len(runs) == 1:
        found_one = Attached(runs[0])
        found_one.keep_off()
        return found_one
    found = [Attached(run) for run in runs]
    names = "\n".join(each.name for each in found)
    for each in found:
        each.close()
    raise BurstlineError(f"{len(found)} pipelines are running", f"name one, best by its process:\n{names}")
