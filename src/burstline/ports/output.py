"""What cannot be written to, refused before anything is opened and emptied."""

from __future__ import annotations

import os

from burstline.errors import UsageError


def check_output(out: str | None, source: str) -> None:
    """Raise `UsageError` for a capture that would be written over the one it is made from, or under a name that
    promises a compression which is not done."""
    if out is None or out == "-":
        return
    if out.lower().endswith((".gz", ".zst", ".xz", ".bz2")):
        raise UsageError(
            f"{out}: captures are written uncompressed", f"write {out.rpartition('.')[0]}, or pipe --out - into zstd"
        )
    try:
        same = os.path.samefile(out, source)
    except OSError:  # one of the two is not there, or the source is no file
        return
    if same:
        raise UsageError(f"{out} is the source itself: writing it would empty it first", "give --out another name")
