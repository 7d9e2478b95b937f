"""The one exception family that users see: what went wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class BurstlineError(Exception):
    """An error whose message stands alone; `hint` says what to write or run instead.

    The command line prints both without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message


class UsageError(BurstlineError):
    """What was asked for makes no sense as asked: a wrong option, key or name."""

    exit_code = 2


def application_failed(what: str, function: Callable[..., Any], error: Exception) -> Exception:
    """What to raise when a function of the application's failed: a message with its place; an OSError as it is."""
    import traceback

    if isinstance(error, (BurstlineError, OSError)):
        return error
    code = getattr(function, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if code is not None and f.filename == code.co_filename] or frames
    place = f"{own[-1].filename}:{own[-1].lineno}: " if own else ""
    quoted = f"\n    {own[-1].line}" if own and own[-1].line else ""
    said = f"{place}{what} raised {type(error).__name__}: {error}{quoted}"
    return BurstlineError(said, "what was processed before is reported; --debug shows the traceback")
