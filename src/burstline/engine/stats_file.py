"""The file in shared memory by which a run tells its counts, as its writer: pieces of memory, and a directory of them.

The file is locked as long as its run lives: who can lock it knows that its process is gone, and removes it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import mmap
import os
import stat
import struct
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from burstline.engine.stats_layout import (
    DIRECTORY_AT,
    ENDED_AT,
    GENERATION_AT,
    HEAD_SIZE,
    LAYOUT,
    LAYOUT_AT,
    MAGIC,
    SOCKET,
    SUFFIX,
)
from burstline.state.region import Mapped

PAGE = mmap.ALLOCATIONGRANULARITY
HIDDEN = ".new"  # a file that is not whole yet
LONG_AGO = 60.0  # seconds: it takes milliseconds to be whole
_serial = itertools.count(1)  # any thread may begin a run


def directories() -> list[Path]:
    """Where the files of this user's runs lie, and root's: `$BURSTLINE_STATS`, or shared memory (shm_overview(7))."""
    chosen = os.environ.get("BURSTLINE_STATS")
    if chosen:
        return [Path(chosen)]
    memory = Path("/dev/shm") if sys.platform == "linux" else Path(tempfile.gettempdir())
    return [memory / f"burstline-{user}" for user in sorted({os.getuid(), 0}, reverse=True)]


def directory() -> Path:
    """This user's. Raises OSError where it cannot be."""
    place = directories()[0]
    with suppress(FileExistsError):
        place.mkdir(mode=0o755)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():  # anybody may have made it there
        raise PermissionError(0, f"{place} is no directory of this user's")
    return place


def is_abandoned(descriptor: int) -> bool:
    """Whether the process that wrote the file is gone."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def clean(place: Path) -> None:
    """Remove what processes left behind that were killed."""
    for path in place.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                if is_abandoned(descriptor):
                    path.with_suffix(SOCKET).unlink(missing_ok=True)
                    path.unlink()
            finally:
                os.close(descriptor)
    for path in place.glob(f"*{HIDDEN}"):  # of processes that were killed before the file had its name
        with suppress(OSError):
            if time.time() - path.lstat().st_mtime > LONG_AGO:
                path.unlink()


class StatsFile:
    """A new file. Raises OSError where there is no place or no room for it."""

    def __init__(self) -> None:
        place = directory()
        clean(place)
        self.path = place / f"{os.getpid()}-{next(_serial)}{SUFFIX}"
        hidden = self.path.with_suffix(HIDDEN)  # it gets its name when it is whole
        self._descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._size, self._generation = 0, 0
            self._free: list[tuple[int, int]] = []  # offset, size
            self._directory: tuple[int, int] | None = None
            self._head = self._map(self._allocate(HEAD_SIZE), HEAD_SIZE)
            self._head.set_i64(LAYOUT_AT, LAYOUT)
            self._head.write(0, MAGIC)
            os.rename(hidden, self.path)
        except OSError:
            os.close(self._descriptor)
            with suppress(OSError):
                os.unlink(hidden)
            raise

    def piece(self, size: int) -> tuple[int, Mapped]:
        """Zeroed memory in the file: its offset there, and the memory."""
        offset = self._allocate(size)
        mapped = self._map(offset, size)
        mapped.write(0, bytes(size))
        return offset, mapped

    def give_back(self, offset: int, size: int) -> None:
        """A piece that the directory does not name any more, and nobody writes to."""
        self._free = joined([*self._free, (offset, _whole_pages(size))])

    def publish(self, directory: Mapping[str, Any]) -> None:
        """From now on readers go by this directory."""
        text = json.dumps(directory).encode()
        offset, old = self._allocate(len(text)), self._directory
        _write_all(self._descriptor, text, offset)
        self._generation += 1
        at = DIRECTORY_AT[self._generation & 1]
        self._head.write(at, struct.pack("=qq", offset, len(text)))
        self._head.set_i64(GENERATION_AT, self._generation)
        self._directory = offset, len(text)
        if old:
            self.give_back(*old)

    def close(self) -> None:
        """The run is over: who reads the file is told so, and nobody finds it any more."""
        self._head.set_i64(ENDED_AT, 1)
        with suppress(OSError):
            self.path.unlink()
        os.close(self._descriptor)

    def _allocate(self, size: int) -> int:
        size = _whole_pages(size)
        for number, (offset, room) in enumerate(self._free):
            if room >= size:
                del self._free[number]
                if room > size:
                    self._free.append((offset + size, room - size))
                return offset
        offset = self._size
        # Reserved now: a page that is missing when it is written to would end the process (SIGBUS).
        os.ftruncate(self._descriptor, offset + size)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, offset, size)
        self._size = offset + size
        return offset

    def _map(self, offset: int, size: int) -> Mapped:
        return Mapped(self._descriptor, offset, size)


def joined(pieces: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Pieces, as offset and size, with those that touch put together: else small ones would be left after weeks."""
    found: list[tuple[int, int]] = []
    for offset, size in sorted(pieces):
        if found and sum(found[-1]) == offset:
            found[-1] = found[-1][0], found[-1][1] + size
        else:
            found.append((offset, size))
    return found


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _whole_pages(size: int) -> int:
    return -(-size // PAGE) * PAGE
