"""`burstline run --metrics`: a process beside the run that serves its metrics, and ends with it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from burstline.cli.serve import address


@contextmanager
def served_metrics(where: str, user: str | None) -> Iterator[None]:
    """While the block runs; the process becomes the user that the run becomes. Raises UsageError for an address that
    cannot be."""
    address(where)
    words = ["-m", "burstline", "metrics", str(os.getpid()), "--wait", "--listen", where]
    words += ["--user", user] if user else []
    beside = subprocess.Popen([sys.executable, *words], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        try:
            beside.terminate()
        except PermissionError:  # it is still root, whom this run was: it ends when it sees that the run has
            pass
        else:
            beside.wait()
