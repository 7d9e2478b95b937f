"""Generated traffic as a stream, read as a capture is from standard input."""

from __future__ import annotations

import io
import os
from typing import Any

from burstline.ports.generator import Generator
from burstline.ports.pipe_feeder import PipeFeeder
from burstline.ports.traffic import parse_source


class GeneratorFeeder(PipeFeeder):
    """`fd` gives a pcap with nanoseconds. Raises `UsageError` for wrong parameters."""

    def __init__(self, source: str) -> None:
        generator = Generator(parse_source(source))
        super().__init__(source, (piece for piece in generator.pieces()), "generator")

    def close(self) -> None:
        super().close()
        self._thread.join(1.0)  # at once, unless a forked process still holds the pipe open


class GeneratorStream(io.RawIOBase):
    """The same bytes for plain Python to read."""

    def __init__(self, source: str) -> None:
        self._feeder = GeneratorFeeder(source)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = os.read(self._feeder.fd, len(buffer))
        if not piece:
            self._feeder.finish()
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            self._feeder.close()
        super().close()
