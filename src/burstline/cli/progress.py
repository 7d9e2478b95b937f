"""A progress line with a rate, on a terminal only."""

from __future__ import annotations

import sys
import time

from burstline.engine.report import in_units

WIDTH = 30


class ProgressLine:
    """Call it with bytes read, bytes in all (None when unknown) and packets so far; `clear` removes the line."""

    def __init__(self) -> None:
        self.enabled = sys.stderr.isatty()
        self._shown = False
        self._last = (time.monotonic(), 0)

    def __call__(self, read: int, size: int | None, packets: int) -> None:
        now = time.monotonic()
        before, count = self._last
        if not self.enabled or now - before < 0.2:
            return
        rate = in_units((packets - count) / (now - before), "pps")
        self._last = (now, packets)
        if size:
            share = min(1.0, read / size)
            done = int(share * WIDTH)
            bar = f"[{'#' * done}{'.' * (WIDTH - done)}] {share:4.0%}"
        else:
            bar = "running"
        sys.stderr.write(f"\r\x1b[K{bar}  {packets:,} packets  {rate}")
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
