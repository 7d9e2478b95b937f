"""Writing a file whole or not at all: who reads it meanwhile has the old one or the new one (rename(2)). What is made
piece by piece, and locked meanwhile, is a `WholeFile` (export/)."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, *, sync: bool = True) -> None:
    """With `sync`, on the disk before it has its name. Raises OSError, and then the file is as it was. A process that
    is killed meanwhile leaves a file `.NAME.*.new` beside it."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    if sync:
        with suppress(OSError):  # not on every file system
            directory = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
