"""A capture that still grows, or a directory to which captures are added, as a stream: as `tail -f` does.

It is read as from standard input. The files of a directory come in the order of their names, each when the one before
it has nothing more to give and a later one is there: sections of one pcapng.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

from burstline.errors import BurstlineError, UsageError
from burstline.ports.capture_format import SECTION_HEADER
from burstline.ports.decompress import open_growing, plain_pieces
from burstline.ports.pipe_feeder import PipeFeeder

NAP = 0.05  # seconds between two looks at a file that has not grown
LAST_LOOK = 0.5  # seconds for which a file has not grown when a later one is there: its end has come


class Follower(PipeFeeder):
    """Of a file or a directory, until it is closed. Raises BurstlineError where there is neither."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        if not self._path.exists():
            raise BurstlineError(f"cannot follow {path}: there is no such file or directory", "is the path right?")
        self._over = threading.Event()
        super().__init__(path, self._pieces(), "follow")

    def close(self) -> None:
        self._over.set()
        super().close()
        self._thread.join(1.0)

    def _pieces(self) -> Generator[bytes, None, None]:
        for path in self._files():
            with suppress(FileNotFoundError):
                yield from self._pieces_of(path)

    def _files(self) -> Iterator[Path]:
        if not self._path.is_dir():
            yield self._path
            return
        last: Path | None = None
        while not self._over.is_set():
            if (after := self._after(last)) is not None:
                last = after
                yield after
            else:
                self._over.wait(NAP)

    def _after(self, last: Path | None) -> Path | None:
        """The next file of the directory, by name."""
        found = sorted(p for p in self._path.iterdir() if p.is_file() and not p.name.startswith("."))
        return next((p for p in found if last is None or p.name > last.name), None)

    def _pieces_of(self, path: Path) -> Iterator[bytes]:
        with open_growing(path, lambda: self._goes_on(path)) as file:
            first = True
            for piece in plain_pieces(file):
                if first and self._path.is_dir() and not piece.startswith(SECTION_HEADER.to_bytes(4, "little")):
                    raise UsageError(f"{path} is no pcapng", "of a directory, only captures in pcapng can be followed")
                first = False
                yield piece

    def _goes_on(self, path: Path) -> bool:
        """Wait a moment at the end of a file. False when that is its end indeed."""
        later = self._path.is_dir() and self._after(path) is not None
        return not self._over.wait(LAST_LOOK if later else NAP) and not (later and is_quiet(path))


def is_quiet(path: Path) -> bool:
    """Whether nobody has written to a file for a while."""
    return time.time() - path.stat().st_mtime >= LAST_LOOK
