"""The state directory: results of the captures that are done, so that another start goes on where this one stopped.

A result is a file, written whole or not at all, whose name is made of the capture's path, size and time of change, and
of the pipeline: what has changed is not found, and done again.
"""

from __future__ import annotations

import fcntl
import os
import re
import zipfile
from contextlib import suppress
from pathlib import Path

from burstline.archive.captures import Capture
from burstline.errors import BurstlineError, UsageError
from burstline.state.saved.file import Contents, decoded

SUFFIX = ".part"
OWN = re.compile(r"[0-9a-f]{32}\.part|\.[0-9a-f]{32}\.part\..*\.new")  # what it has ever written


class Ledger:
    """Of one archive and one pipeline; in a `with`, the directory is its own."""

    def __init__(self, directory: Path, pipeline: str) -> None:
        self.directory, self.pipeline = directory, pipeline
        if directory.exists() and not directory.is_dir():
            raise UsageError(f"{directory} is no directory", "--state DIR names one, which is made if need be")
        directory.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Ledger:
        """Raises BurstlineError where another archive is at work: each would remove what is of use to the other."""
        self._held = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._held)
            what = f"another archive is at work in {self.directory}"
            raise BurstlineError(what, "wait for its end, or name another directory: --state DIR") from None
        except OSError:
            pass  # a file system without locks
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._held)

    def place(self, capture: Capture) -> Path:
        return self.directory / f"{capture.identity(self.pipeline)}{SUFFIX}"

    def has(self, capture: Capture) -> bool:
        """Whether its result is there and whole, by its checksums: to read it takes several times as long."""
        # Zip files have many ways to be damaged, and `zipfile` has an error for each.
        with suppress(Exception), zipfile.ZipFile(self.place(capture)) as parts:
            return parts.testzip() is None
        return False

    def read(self, capture: Capture) -> Contents:
        """The result of a capture. Raises BurstlineError of one that is damaged or gone, and forgets it."""
        place = self.place(capture)
        try:
            return decoded(place.read_bytes(), str(place))
        except (OSError, BurstlineError):
            self.forget(capture)
            what = f"the result of {capture.path} in {self.directory} is damaged or gone"
            raise BurstlineError(what, "start again: it alone is done anew, of those in a --state DIR") from None

    def forget(self, capture: Capture) -> None:
        self.place(capture).unlink(missing_ok=True)

    def clean(self, captures: list[Capture]) -> None:
        """Remove what is of other captures or other pipelines, and what was being written when a process ended."""
        known = {self.place(capture).name for capture in captures}
        for place in self.directory.iterdir():
            if OWN.fullmatch(place.name) and place.name not in known:
                place.unlink(missing_ok=True)
