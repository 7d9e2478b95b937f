"""A file that has its name only when it is whole and on the disk (rename(2), fsync(2)): a process may be killed."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

PARTIAL = ".partial"
_serial = itertools.count()  # of the files of this process: some may have one name


class WholeFile:
    """`file` is a binary one under a temporary name beside `path`; `commit` gives it its own, `discard` removes it.
    It is locked meanwhile, so that `clear` can tell what a killed process left behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.partial = path.with_name(f".{path.name}.{os.getpid()}-{next(_serial)}{PARTIAL}")
        self.file = self._opened()
        while not _is_there(self.file, self.partial):  # `clear` came between, of another run
            self.file.close()
            self.file = self._opened()

    def _opened(self) -> Any:
        file = open(self.partial, "w+b", buffering=1 << 20)  # noqa: SIM115  until `commit`
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)  # which nobody holds for long: the name is this object's own
        return file

    def commit(self, replace: bool = True) -> Path:
        """Returns its path: another one beside it where there is a file already and `replace` is not meant. Raises
        OSError, and then there is neither file."""
        try:
            self.file.flush()
            os.fsync(self.file.fileno())
            path = self._replace() if replace else self._beside()
            with _directory(path.parent) as descriptor:
                os.fsync(descriptor)
        except OSError:
            self.discard()
            raise
        self.file.close()
        return path

    def _replace(self) -> Path:
        os.rename(self.partial, self.path)
        return self.path

    def _beside(self) -> Path:
        for number in range(100_000):
            path = self.path if not number else self.path.with_stem(f"{self.path.stem}-{number}")
            try:
                os.link(self.partial, path)  # fails where there is one, which rename does not
            except FileExistsError:
                continue
            os.unlink(self.partial)
            return path
        raise FileExistsError(17, "File exists", str(self.path))

    def discard(self) -> None:
        with suppress(OSError):
            self.file.close()
        with suppress(OSError):
            self.partial.unlink()


@contextmanager
def _directory(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def clear(directory: Path, suffix: str, deep: bool = False) -> list[Path]:
    """Remove what killed processes left of files with this suffix, and if `deep` in directories below; returns it."""
    found = []
    for path in (directory.rglob if deep else directory.glob)(f".*{suffix}.*{PARTIAL}"):
        with suppress(OSError), open(path, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where somebody writes it
            path.unlink()
            found.append(path)
    return found


def _is_there(file: Any, path: Path) -> bool:
    """Whether an open file still has that name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
