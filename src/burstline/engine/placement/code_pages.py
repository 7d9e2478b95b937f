"""Where machine code lies that is linked at run time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

Range = tuple[int, int]  # address and bytes
_CODE = ("r-xp", "r--p")  # of anonymous memory: code, and the constants beside it


def anonymous_code(text: str) -> list[Range]:
    """Of /proc/PID/maps (proc_pid_maps(5)): mappings of no file that can be executed, or read and not written."""
    found = []
    for line in text.splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 5 and fields[1] in _CODE and fields[4] == "0":
            start, end = (int(part, 16) for part in fields[0].split("-"))
            found.append((start, end - start))
    return found


def beyond(new: list[Range], old: list[Range]) -> list[Range]:
    """What `new` ranges have that `old` ones have not. Neighbours may have become one mapping."""
    left = [(start, start + size) for start, size in new]
    for start, end in ((start, start + size) for start, size in old):
        left = [
            part for low, high in left for part in ((low, min(high, start)), (max(low, end), high)) if part[0] < part[1]
        ]
    return [(low, high - low) for low, high in left]


@contextmanager
def code_added() -> Iterator[list[Range]]:
    """The list has what was linked in the block, after it."""
    found: list[Range] = []
    before = _read()
    yield found
    found += beyond(_read(), before)


def _read() -> list[Range]:
    try:
        return anonymous_code(Path("/proc/self/maps").read_text())
    except OSError:
        return []
