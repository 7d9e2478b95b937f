"""Pieces of a stream through a pipe: a thread of its own fills it, compiled code reads from the other end."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Generator
from contextlib import suppress
from typing import Self

_PIPE = 1 << 20


class PipeFeeder:
    """`fd` gives what `pieces` make, a generator that the thread ends at its end: do not hold the GIL while reading.

    There is nothing before it (`head` is empty), and nothing to seek in.
    """

    head = b""
    seekable = False

    def __init__(self, name: str, pieces: Generator[bytes | memoryview, None, None], thread: str) -> None:
        self.name = name
        self._error: BaseException | None = None
        self._closed = False
        self.fd, inlet = os.pipe()
        # A pipe of 1 MiB instead of 64 KiB costs fewer switches between the two threads. Linux only, and optional.
        with suppress(ImportError, AttributeError, OSError):
            fcntl = importlib.import_module("fcntl")
            fcntl.fcntl(inlet, fcntl.F_SETPIPE_SZ, _PIPE)
        # A daemon: reading standard input, or writing to a pipe that a forked process holds open, can block for ever.
        self._thread = threading.Thread(target=self._pump, args=(pieces, inlet), name=thread, daemon=True)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pump(self, pieces: Generator[bytes | memoryview, None, None], inlet: int) -> None:
        try:
            for piece in pieces:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(inlet, rest) :]
        except BrokenPipeError:
            pass  # closed by our own `close`: nobody wants the rest
        except BaseException as error:
            self._error = error  # before the reader sees the end of the pipe
        finally:
            os.close(inlet)
            pieces.close()
