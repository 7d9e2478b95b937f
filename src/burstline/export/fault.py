"""Why an exporter could not write: for now, or for good."""

from __future__ import annotations

from typing import Any

from burstline.errors import BurstlineError


class Unreachable(Exception):
    """There is nobody at the other end, now. `rest` are the rows that can be tried again: None for all of them. The
    others have been counted."""

    def __init__(self, why: str, rest: Any = None) -> None:
        super().__init__(why)
        self.why, self.rest = why, rest


class Broken(BurstlineError):
    """It will not work any more: a full disk, a reader that went away from a pipe."""
