"""A run over an archive: which captures are left to do, who does them, and one report of all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from burstline.archive.captures import Capture
from burstline.archive.cluster import ClusterPool
from burstline.archive.fold import Fold
from burstline.archive.ledger import Ledger
from burstline.archive.pool import Events, ProcessPool
from burstline.archive.progress import ArchiveProgress
from burstline.archive.refusals import check_mergeable
from burstline.archive.task import task_of
from burstline.engine.app import Application
from burstline.engine.config import Config
from burstline.engine.report import Report


class ArchiveRun(Events):
    """Runs an application over captures, in `jobs` processes or on the cluster at `dask`; `state` is a directory that
    remembers what is done. `say` is told in a line what is worth telling.

    Afterwards the pipeline's state is that of all captures, as one run over them, in their order, would have made it,
    where that can be: see docs/archives.md. `failures` are captures that were not done, or not to their end, and why.
    """

    def __init__(
        self,
        app: Application,
        captures: Sequence[Capture],
        config: Config,
        *,
        jobs: int = 1,
        dask: str | None = None,
        state: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.app, self.captures, self.config = app, list(captures), config
        self.jobs, self.dask, self.state, self.say = jobs, dask, state, say
        self.failures: dict[str, tuple[str, str | None]] = {}
        self.resumed = 0  # captures that were done before
        self.pipeline = app.load()
        self.progress = ArchiveProgress(self.captures, [])
        self._lost: dict[int, str] = {}
        self._ready: set[int] = set()
        self._next = 0  # captures before this one are folded

    def run(self) -> Report:
        """Raises what the application's mistakes raise, before anything runs, and KeyboardInterrupt."""
        started = time.perf_counter()
        check_mergeable(self.pipeline, len(self.captures))
        task = task_of(self.app, self.pipeline, self.config, self.captures, ships=self.dask is not None)
        sync = self.state is not None
        self.pool = ClusterPool(task, self.dask, sync=sync) if self.dask else ProcessPool(task, self.jobs, sync=sync)
        with ExitStack() as stack:
            place = self.state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="burstline-")))
            self.ledger = stack.enter_context(Ledger(place, task.digest))
            self.ledger.clean(self.captures)
            self.fold = Fold(self.pipeline, f"{len(self.captures):,} captures", self.jobs if not self.dask else 1)
            self._ready = {k for k, capture in enumerate(self.captures) if self.ledger.has(capture)}
            self.resumed = len(self._ready)
            if self.resumed:
                self.say(f"{self.resumed:,} of {len(self.captures):,} captures are done already")
            left = [k for k in range(len(self.captures)) if k not in self._ready]
            left.sort(key=lambda k: -self.captures[k].size)  # the largest first: none is left over at the end
            self.progress = ArchiveProgress(self.captures, sorted(self._ready))
            try:
                self._fold()
                self.pool.run(self.captures, left, lambda k: self.ledger.place(self.captures[k]), self)
                self._fold()
            finally:
                self.progress.clear()
        report = self.fold.finish()
        report.seconds = time.perf_counter() - started
        self.pipeline.finish(report)
        return report

    # What the pool tells.

    def at(self, number: int, read: int, packets: int) -> None:
        self.progress.at(number, read, packets)

    def lost(self, number: int, why: str, again: bool) -> None:
        self.progress.lost(number)
        self.progress.clear()
        path = self.captures[number].path
        self.say(f"{path}: its worker was lost ({why}){', and it is done again' if again else ''}")
        if not again:
            self._lost[number] = why
            self.failures[path] = f"its worker was lost every time: {why}", None
            self._fold()

    def done(self, number: int, packets: int) -> None:
        self._ready.add(number)
        self.progress.done(number, packets)
        self._fold()

    def tick(self) -> None:
        self.progress.show()

    def _fold(self) -> None:
        """Put together what is done, in the order of the captures: later ones wait."""
        while self._next in self._ready or self._next in self._lost:
            if self._next not in self._lost:
                self._take(self.captures[self._next])
            self._next += 1

    def _take(self, capture: Capture) -> None:
        part = self.ledger.read(capture)
        if error := part.head["error"]:
            message, hint = error
            self.failures[capture.path] = message, hint
            self.ledger.forget(capture)  # it is done again by the next start
        self.fold.add(part)
        self.fold.report.warnings += [f"{capture.path}: {warning}" for warning in part.head.get("warnings", ())]
        if self.state is None:
            self.ledger.forget(capture)
