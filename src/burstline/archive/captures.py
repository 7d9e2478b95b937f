"""The captures of an archive: files, directories of them, patterns; each with what tells that it was changed."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from burstline.errors import UsageError

FORMATS = (".pcap", ".pcapng", ".cap", ".ntar")
PACKED = ("", ".gz", ".zst")


@dataclass(frozen=True)
class Capture:
    """A capture file, as it was when it was looked for."""

    path: str
    size: int
    changed: int  # ns since the epoch

    @property
    def is_pcapng(self) -> bool:
        """By its name; only what is compiled beforehand goes by it."""
        return any(self.path.endswith(f"{suffix}{packed}") for suffix in (".pcapng", ".ntar") for packed in PACKED)

    def identity(self, pipeline: str) -> str:
        """Of what a pipeline, by its digest, makes of this file, as long as neither changes."""
        what = (str(Path(self.path).resolve()), self.size, self.changed, pipeline)
        return hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()


def find_captures(words: Iterable[str]) -> list[Capture]:
    """All captures that are named, each once, in their order; those of a directory or a pattern by name. Raises
    UsageError for a word that names none."""
    found: dict[Path, Capture] = {}
    for word in words:
        paths = list(_paths(word))
        if not paths:
            hint = f"captures end in {', '.join(FORMATS)}, also with .gz or .zst behind"
            raise UsageError(f"there are no captures in {word}", hint)
        for path in paths:
            if path.resolve() not in found:
                status = path.stat()
                found[path.resolve()] = Capture(str(path), status.st_size, status.st_mtime_ns)
    return list(found.values())


def _paths(word: str) -> Iterator[Path]:
    path = Path(word)
    if path.is_dir():
        yield from sorted(file for file in _below(path) if _is_capture(file))
    elif path.exists():
        yield path
    elif glob.has_magic(word):
        for name in sorted(glob.glob(word, recursive=True)):
            match = Path(name)
            if match.is_file():
                yield match
            elif match.is_dir():
                yield from _paths(name)
    else:
        raise UsageError(f"{word}: no such file or directory", "name captures, directories of them, or patterns")


def _below(directory: Path) -> Iterator[Path]:
    """Raises OSError where one of the directories cannot be read: its captures would be missing silently."""

    def fail(error: OSError) -> None:
        raise error

    for place, _, names in os.walk(directory, onerror=fail):
        yield from (Path(place, name) for name in names)


def _is_capture(file: Path) -> bool:
    return file.is_file() and any(file.name.endswith(f"{f}{packed}") for f in FORMATS for packed in PACKED)
