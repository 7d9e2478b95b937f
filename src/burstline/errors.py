"""The one exception family that users see: what went wrong, and what to do about it."""

from __future__ import annotations


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
