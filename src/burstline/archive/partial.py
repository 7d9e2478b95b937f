"""Of one capture: what a run over it made of all state, and its counts of packets, as bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from burstline.archive.gathering import Gathering
from burstline.archive.task import Task
from burstline.engine.app import Application
from burstline.engine.offline import FileRun
from burstline.engine.program import Program, prepare
from burstline.engine.report import Report
from burstline.errors import BurstlineError
from burstline.native import cache
from burstline.pipeline.pipeline import Pipeline
from burstline.state.saved.file import Contents, encoded
from burstline.state.saved.kinds import kind_of

_ONE = threading.Lock()  # a pipeline's state is of one run at a time, and an application's module one in a process


class Runner:
    """Runs a task's pipeline over one capture after the other, on `core`, or wherever the system puts it."""

    def __init__(self, task: Task, folder: Path | None = None, core: int | None = None) -> None:
        """`folder`: where to put the application's files, if they come with the task."""
        self.config, self.cores = task.config, () if core is None else (core,)
        for key, code, about in task.objects:
            if cache.load(key) is None:
                cache.save(key, code, about)
        spec = task.app
        if task.files is not None:
            assert folder is not None
            for name, data in task.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
            spec = str(folder / spec)
        self.packets = 0  # of the last capture
        self.config.engine.use_simd()
        self.pipeline = Application(spec).load()
        self._programs: dict[str, Program] = {}  # by the format of captures

    def run(self, path: str, progress: Callable[[int, int | None, int], None] | None = None) -> bytes:
        """A capture that is damaged counts up to there, and the head says so under `error`."""
        with _ONE, Gathering(self.pipeline) as gathering:
            run = FileRun(
                self.pipeline, path, None, cores=self.cores, dispatch=self.config.engine.dispatch,
                tunnel_ports=self.config.parser.tunnel_ports, progress=progress, buffers=self.config.pools.buffers,
                pinned=bool(self.cores), prepare=self._prepare,
            )  # fmt: skip
            error: BurstlineError | None = None
            try:
                run.run()
            except BurstlineError as failure:
                error = failure
            self.packets = run.report.received.packets
            states = gathering.saved() if self.packets or error is None else {}
            of_kept = {w for s in self.pipeline.state if kind_of(s) is not None for w in s.warnings()}
            head = {
                **counts_of(run.report),
                "error": error and [error.message, error.hint],
                "warnings": [w for w in run.report.warnings if w not in of_kept],  # those are told of all captures
            }
            return encoded(Contents(states, head))

    def _prepare(self, pipeline: Pipeline, **plan: Any) -> Program:
        """Once for all captures of a format: it takes milliseconds, as long as a small capture itself."""
        program = self._programs.get(plan["source"])
        if program is None:
            program = self._programs[plan["source"]] = prepare(pipeline, **plan)
        return program


def counts_of(report: Report) -> dict[str, Any]:
    """What `Fold` adds up."""
    pairs = {name: getattr(report, name) for name in ("received", "made", "sent", "consumed")}
    return {
        **{name: [count.packets, count.bytes] for name, count in pairs.items()},
        "drops": {name: [count.packets, count.bytes] for name, count in report.drops.items()},
        "dispatch": report.dispatch,
    }
