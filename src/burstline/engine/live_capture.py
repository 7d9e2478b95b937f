"""The capture that a live run writes, if it writes one: a tape for each worker, and the thread behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from burstline.engine.report import Count, Report
from burstline.engine.worker import SINK_FAILED
from burstline.ports.capture_files import CaptureFiles, CaptureOptions
from burstline.ports.tape import Tape
from burstline.ports.tape_writer import TapeWriter

if TYPE_CHECKING:
    from burstline.dpdk.port import Port


class LiveCapture:
    """To a file or a directory, `out`, or to nowhere. Raises UsageError."""

    def __init__(self, out: str | None, devices: Sequence[str], options: CaptureOptions | None) -> None:
        self.files = CaptureFiles(out, [f"dpdk:{device}" for device in devices], options) if out else None
        self._tapes: list[Tape] = []
        self._writer: TapeWriter | None = None

    @property
    def format(self) -> str:
        """Of the file, or empty."""
        return self.files.format if self.files else ""

    def begin(self, ports: Sequence[Port], workers: int, failed: Callable[[], None]) -> None:
        """Make the tapes. `failed` is called when nothing can be written any more."""
        if self.files is None:
            return
        options = self.files.options
        self._tapes = [Tape(options.buffer, len(ports), options.snaplen) for _ in range(workers)]
        self._writer = TapeWriter(self._tapes, self.files, lambda: [_arrived(port) for port in ports], failed)

    def tape(self, worker: int) -> Tape | None:
        return self._tapes[worker] if self._tapes else None

    def writing(self) -> AbstractContextManager[Any]:
        """What workers put on tapes is written while this is entered. Raises BurstlineError at its end."""
        return self._writer or nullcontext()

    @property
    def most_waiting(self) -> int:
        """Bytes that waited for the disk when these were most."""
        return self._writer.most if self._writer else 0

    def close_report(self, report: Report) -> None:
        """What was meant for a file and is in none counts as dropped."""
        if self._writer is None:
            return
        kept = Count(*self._writer.kept)
        lost = Count(report.sent.packets - kept.packets, report.sent.bytes - kept.bytes)
        if lost.packets:
            report.sent = kept
            report.drops[SINK_FAILED] = lost


def _arrived(port: Port) -> tuple[int, int]:
    """Packets that came to a port's queues, and those that did not for want of room or of buffers."""
    stats = port.stats()
    return stats.ipackets, stats.imissed + stats.rx_nombuf
