"""A thread beside the workers that looks at a run's buffers, and has pools grow and shrink as a controller says."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from burstline.buffers.usage import ClassUsage, Demand
from burstline.engine.threads import keep_off
from burstline.errors import BurstlineError

Show = Callable[[Sequence[ClassUsage]], None]


class BufferWatch:
    """`look` gives the usage of each size class, and is called every `period` seconds between entering and leaving the
    block; `act` may then change the pools, `show` is handed what was seen every `interval` seconds (never where it is
    0). What goes wrong in `act` or `show` becomes one of `warnings`, and it is not called any more. It keeps off
    `cores`, which are the workers', where there are others."""

    def __init__(
        self,
        look: Callable[[], list[ClassUsage]],
        *,
        period: float,
        act: Callable[[Sequence[ClassUsage], float], Sequence[Demand]] | None = None,
        show: Show | None = None,
        interval: float = 0.0,
        cores: Sequence[int] = (),
    ) -> None:
        self._look, self._act, self._show = look, act, show
        self._period, self._interval, self._cores = period, interval, cores
        self._peaks: list[int] = []
        self._demands: Sequence[Demand] = ()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="buffers", daemon=True)
        self.warnings: list[str] = []

    def __enter__(self) -> BufferWatch:
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._stop.set()
        self._thread.join()

    def usage(self) -> list[ClassUsage]:
        """As it is now, with the peaks that were seen and what was forecast for this moment."""
        now = self._look()
        self._peaks = [max(u.in_use, p) for u, p in zip(now, self._peaks or [0] * len(now), strict=True)]
        demands = self._demands or [Demand()] * len(now)
        return [replace(u.beside(d), peak=p) for u, p, d in zip(now, self._peaks, demands, strict=True)]

    def _run(self) -> None:
        with keep_off(self._cores):
            self._watch()

    def _watch(self) -> None:
        shown = 0.0
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self._period, time.monotonic())
            now, usage = time.monotonic(), self.usage()
            if self._act is not None:
                try:
                    self._demands = self._act(usage, now)
                except BurstlineError as error:
                    self.warnings.append(f"buffers stay as they are: {error.message}")
                    self._act = None
            if self._show is not None and self._interval and now - shown >= self._interval:
                shown = now
                try:
                    self._show(usage)
                except (BurstlineError, OSError) as error:  # a device that is gone: pools are looked after still
                    self.warnings.append(f"the run is not shown any more: {error}")
                    self._show = None
