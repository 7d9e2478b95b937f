"""Generated traffic as a stream: a thread fills a pipe, from which it is read as a capture is from standard input."""

from __future__ import annotations

import io
import os
import threading
from typing import Any

from burstline.ports.decompress import widen
from burstline.ports.generator import Generator
from burstline.ports.traffic import parse_source


class GeneratorFeeder:
    """As `decompress.Feeder`: `fd` gives a pcap with nanoseconds. Raises `UsageError` for wrong parameters."""

    def __init__(self, source: str) -> None:
        self.name = source
        self.head = b""
        self.seekable = False
        generator = Generator(parse_source(source))
        self._error: BaseException | None = None
        self._closed = False
        self.fd, inlet = os.pipe()
        widen(inlet)
        # A daemon, because a full pipe that nobody reads from blocks it for ever.
        self._thread = threading.Thread(target=self._pump, args=(generator, inlet), name="generator", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """To be called after `fd` came to its end: raise what made it end early, if anything did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Close `fd`, which also ends the thread behind it. Twice does no harm."""
        if not self._closed:
            self._closed = True
            os.close(self.fd)
            self._thread.join(1.0)  # at once, unless a forked process still holds the pipe open

    def __enter__(self) -> GeneratorFeeder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pump(self, generator: Generator, inlet: int) -> None:
        try:
            for piece in generator.pieces():
                rest = piece
                while rest:
                    rest = rest[os.write(inlet, rest) :]
        except BrokenPipeError:
            pass  # closed by our own `close`: nobody wants the rest
        except BaseException as error:
            self._error = error  # before the reader sees the end of the pipe
        finally:
            os.close(inlet)


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
