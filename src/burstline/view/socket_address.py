"""Addresses of sockets in files: a path may be longer than one can be (unix(7): 108 bytes)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 100  # bytes


@contextmanager
def address_of(path: Path) -> Iterator[str]:
    """The path, or one by its open directory where that is shorter (Linux). Raises OSError."""
    if len(os.fsencode(path)) <= LONGEST or not hasattr(os, "O_PATH"):
        yield str(path)
        return
    opened = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}/{path.name}"
    finally:
        os.close(opened)
