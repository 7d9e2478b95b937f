"""Flow records to files: one, or one after the other by time and size; and to standard output or a named pipe."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from burstline.errors import BurstlineError, UsageError
from burstline.export.exporter import Exporter
from burstline.export.fault import Broken, Unreachable
from burstline.export.formats import FORMATS, RowWriter, needs_arrow
from burstline.export.outlet_options import OF_ALL
from burstline.export.spelling import Rotation, Target, rotation
from burstline.export.whole_file import WholeFile, clear

if TYPE_CHECKING:
    from burstline.export.shape import Shape


class FileExporter(Exporter):
    """Each file is whole or not there; its rows count as exported when it has its name. A pipe has no such moment."""

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        form = FORMATS[target.kind]
        target.only("rotate", *form.options, *OF_ALL)
        self._make: Callable[[Any, Shape, Target], RowWriter] = form.writer
        form.check(target)
        self._rotation = target.option("rotate", rotation, Rotation())
        self._path = Path(target.path)
        self.files = 0
        self._shape: Shape | None = None
        self._file: WholeFile | None = None
        self._writer: RowWriter | None = None
        self._until = 0.0
        needs_arrow(target)
        if self.is_pipe:
            if self._rotation:
                raise UsageError(f"{target.spelled}: a pipe cannot be rotated", "write to a file")
            if target.kind == "parquet":
                raise UsageError(f"{target.spelled}: Parquet cannot go through a pipe", "write to a file, or Arrow")
        elif not self._base.is_dir():
            raise BurstlineError(f"cannot write {self._path}: there is no such directory", "make it first")

    @property
    def _base(self) -> Path:
        """The directory that has to be there: the first one whose name is not made of the time."""
        path = self._path.absolute().parent
        while self._rotation and "%" in str(path):
            path = path.parent
        return path

    @property
    def is_pipe(self) -> bool:
        if self.target.path == "-":
            return True
        try:
            return stat.S_ISFIFO(self._path.stat().st_mode)
        except OSError:
            return False

    @property
    def detail(self) -> dict[str, Any]:
        return {} if self.is_pipe else {"files": self.files}

    def prepare(self) -> None:
        self.files = 0
        if not self.is_pipe:
            clear(self._base, self._path.suffix, deep=self._base != self._path.absolute().parent)

    def open(self, shape: Shape) -> None:
        self._shape = shape

    def write(self, rows: Any) -> None:
        writer = self._writer or self._begin()
        writer.write(rows)
        if self._file is None:
            writer.flush()
            self.exported += len(rows)
            return
        self.pending += len(rows)
        if self._rotation.octets and writer.size >= self._rotation.octets:
            self._finish()

    def abort(self) -> None:
        if self._file is not None:
            self._file.discard()
        self._file = self._writer = None

    def due(self) -> float | None:
        if self._file is None or not self._rotation.seconds:
            return None
        return max(0.0, self._until - time.time())

    def tick(self) -> None:
        if self.due() == 0.0:
            self._finish()

    def close(self) -> None:
        """A run without a flow leaves a file without a row, unless files are rotated."""
        if self._writer is None and not self.files and not self._rotation:
            self._begin()
        if self._writer is not None:
            self._finish()

    def _begin(self) -> RowWriter:
        assert self._shape is not None
        if self.is_pipe:
            out = _standard_output() if self.target.path == "-" else _pipe(self._path)
        else:
            now = time.time()
            if self._rotation.seconds:  # by the clock, so that files of a minute begin with a minute
                self._until = (now // self._rotation.seconds + 1) * self._rotation.seconds
            path = Path(time.strftime(self.target.path, time.localtime(now)) if self._rotation else self.target.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = WholeFile(path.absolute())
            out = self._file.file
        self._writer = self._make(out, self._shape, self.target)
        return self._writer

    def _finish(self) -> None:
        writer, file = self._writer, self._file
        assert writer is not None
        self._writer = self._file = None
        try:
            writer.close()
            if file is not None:
                file.commit(replace=not self._rotation)
            else:
                writer.out.close()
        except OSError as error:
            if file is not None:
                file.discard()
            raise Broken(f"{self.target.spelled}: {error.strerror or error}", "make room, and run it again") from error
        self.files += 1
        self.exported += self.pending
        self.pending = 0


def _pipe(path: Path) -> BinaryIO:
    """A named pipe, for which somebody has to be there who reads (fifo(7))."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise Unreachable(f"{path}: nobody reads the pipe") from None
        raise
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "wb", buffering=1 << 16)


def _standard_output() -> BinaryIO:
    """Its own descriptor, which is closed when all is written; what else is printed goes through Python's."""
    sys.stdout.flush()
    return os.fdopen(os.dup(1), "wb", buffering=1 << 16)
