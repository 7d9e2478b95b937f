"""Generated traffic into a capture file, or to standard output."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress

from burstline.errors import BurstlineError, UsageError
from burstline.ports.capture_writer import STANDARD_OUTPUT, format_for
from burstline.ports.generator import Generator
from burstline.ports.traffic import Traffic

Progress = Callable[[int, int], None]  # packets and bytes written so far


def write_traffic(traffic: Traffic, path: str, progress: Progress | None = None) -> int:
    """Write a capture to `path`, or to standard output for `-`; the name's end chooses the format. Returns its bytes.

    Raises `BurstlineError` when it cannot be written. A file is then cut back to whole packets.
    """
    is_file = path != STANDARD_OUTPUT
    name = path if is_file else "standard output"
    if not is_file and os.isatty(1):
        raise UsageError("standard output is a terminal", "name a file, or pipe it on: burstline gen - | tcpdump -nr -")
    generator = Generator(traffic, format_for(path))
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666) if is_file else 1
    except OSError as error:
        raise BurstlineError(f"cannot write {name}: {error.strerror}", _hint(error)) from error
    written = 0
    try:
        for piece in generator.pieces():
            _write(fd, piece)
            written += len(piece)
            if progress:
                progress(generator.done, written)
    except BaseException as error:
        if is_file:
            with suppress(OSError):
                os.ftruncate(fd, written)
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            raise BurstlineError(
                f"cannot write {name}: {error.strerror}; it holds {written} bytes", _hint(error)
            ) from error
        raise
    finally:
        if is_file:
            os.close(fd)
    return written


def _write(fd: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(fd, piece) :]


def _hint(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free space there, ask for fewer packets, or write to another disk"
    return "is the path right, and may this user write there?"
