"""What all exporters do, and which one a spelling means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from burstline.export.spelling import Target

if TYPE_CHECKING:
    from burstline.export.shape import Shape


class Exporter(ABC):
    """Writes rows somewhere. One thread calls all of it; any may read the counts."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.exported = 0  # rows that are where they should be
        self.refused = 0  # rows that were taken and are not there
        self.pending = 0  # rows that are in a file which is not whole yet

    def prepare(self) -> None:  # noqa: B027  most have nothing to do
        """Before a run, in the thread that starts it: raises what the user can mend."""

    @abstractmethod
    def open(self, shape: Shape) -> None:
        """These rows will come."""

    @abstractmethod
    def write(self, rows: Any) -> None:
        """Write rows, and count them. Raises `Unreachable`, with what was done of them, or `Broken`."""

    @abstractmethod
    def close(self) -> None:
        """No more rows: what is written is whole. Raises as `write`; it can be opened again."""

    def abort(self) -> None:  # noqa: B027  most have nothing to do
        """It failed for good: leave nothing that is not whole."""

    def due(self) -> float | None:
        """Seconds until `tick` wants to be called; None for never."""
        return None

    def tick(self) -> None:  # noqa: B027  most have nothing to do
        """What time brings. Raises as `write`."""

    @property
    def detail(self) -> dict[str, Any]:
        """What else there is to tell: files, connections, messages."""
        return {}


def exporter_of(target: Target) -> Exporter:
    """Raises BurstlineError where a package is missing, UsageError for options that it does not have."""
    if target.kind in ("ipfix+udp", "ipfix+tcp"):
        from burstline.export.ipfix.exporter import IpfixExporter

        return IpfixExporter(target)
    if target.kind == "kafka":
        from burstline.export.kafka import KafkaExporter

        return KafkaExporter(target)
    if target.kind == "arrow+tcp":
        from burstline.export.arrow_stream import ArrowTcp

        return ArrowTcp(target)
    from burstline.export.files import FileExporter

    return FileExporter(target)
