"""How far an archive is, and how fast."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

from burstline.archive.captures import Capture
from burstline.engine.report import in_units

WIDTH = 20
EVERY = 0.2  # seconds


class ArchiveProgress:
    """Counts captures, bytes and packets; a line on a terminal says so."""

    def __init__(self, captures: Sequence[Capture], done: Sequence[int]) -> None:
        self.captures, self.started = captures, time.monotonic()
        self.size = sum(capture.size for capture in captures)
        self.before = sum(captures[k].size for k in done)  # bytes of captures that an earlier start has done
        self.finished, self.bytes, self.packets = len(done), self.before, 0
        self._under_way: dict[int, tuple[int, int]] = {}
        self._shown = self.started
        self.enabled = sys.stderr.isatty()

    def at(self, number: int, read: int, packets: int) -> None:
        """So much of a capture is done."""
        self._under_way[number] = read, packets

    def lost(self, number: int) -> None:
        """It will be done again."""
        self._under_way.pop(number, None)

    def done(self, number: int, packets: int) -> None:
        self._under_way.pop(number, None)
        self.finished += 1
        self.bytes += self.captures[number].size
        self.packets += packets

    def line(self) -> str:
        """`[####......]  40%  20 of 50 captures  12,345,678 packets  3.2 Mpps  812 MB/s  12 s left`"""
        seconds = max(time.monotonic() - self.started, 1e-3)
        read = self.bytes + sum(min(read, self.captures[k].size) for k, (read, _) in self._under_way.items())
        packets = self.packets + sum(packets for _, packets in self._under_way.values())
        share = min(1.0, read / self.size) if self.size else 1.0
        bar = f"[{'#' * int(share * WIDTH):.<{WIDTH}}] {share:4.0%}"
        rate = (read - self.before) / seconds
        left = f"  {(self.size - read) / rate:,.0f} s left" if rate and read < self.size else ""
        return (
            f"{bar}  {self.finished:,} of {len(self.captures):,} captures  {packets:,} packets  "
            f"{in_units(packets / seconds, 'pps')}  {in_units(rate, 'B/s')}{left}"
        )

    def show(self) -> None:
        now = time.monotonic()
        if self.enabled and now - self._shown >= EVERY:
            self._shown = now
            sys.stderr.write(f"\r\x1b[K{self.line()}")
            sys.stderr.flush()

    def clear(self) -> None:
        if self.enabled:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
