"""`--cores 2,3`, of the commands that have it."""

from __future__ import annotations

from burstline.errors import UsageError


def cores_of(text: str | None) -> tuple[int, ...] | None:
    """The numbers; None where nothing is said. Raises UsageError."""
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--cores {text} is not a list of core numbers", "write --cores 2,3") from None
