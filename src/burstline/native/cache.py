"""Compiled objects, and what they are made from, on disk, by the content of everything they were made from.

The key covers the code and the constants of what is compiled, burstline's own source, the versions of Python, Numba
and llvmlite, and the CPU: an entry never goes stale, it is only no longer asked for.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

from burstline.native import host
from burstline.native.write_whole import write_whole
from burstline.simd import level

KEEP_BYTES = 256 << 20
# Whose source kernels are compiled from.
ROOMS = (
    "buffers", "compiler", "engine", "filter", "native", "numa", "offload", "packet", "pipeline", "ports", "simd",
    "state", "steering",
)  # fmt: skip


def directory() -> Path:
    """`$BURSTLINE_CACHE`, or `burstline` in the user's cache directory."""
    chosen = os.environ.get("BURSTLINE_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "burstline"


def key_of(parts: Iterable[Any]) -> str:
    digest = hashlib.blake2b(digest_size=20)
    for part in (*_environment(), level.used(), host.cpu(), *parts):
        digest.update(repr(part).encode() + b"\0")
    return digest.hexdigest()


def code_of(code: CodeType) -> tuple[Any, ...]:
    """What a code object does, without file names and line numbers."""
    constants = tuple(code_of(c) if isinstance(c, CodeType) else (type(c).__name__, c) for c in code.co_consts)
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, code.co_exceptiontable)


@functools.cache
def _environment() -> tuple[Any, ...]:
    return (sys.version, version("numba"), version("llvmlite"), _own_source())


def _own_source() -> str:
    """burstline's own source: kernels are compiled from it."""
    digest = hashlib.blake2b(digest_size=20)
    root = Path(__file__).parent.parent
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def load(key: str, suffix: str = "o") -> tuple[bytes, dict[str, Any]] | None:
    """The object and its description, if they are there and whole."""
    try:
        place = directory() / f"{key}.{suffix}"
        data = place.read_bytes()
        with suppress(OSError):
            os.utime(place)  # _trim goes by when it was used
        header, _, object_code = data.partition(b"\n")
        about: dict[str, Any] = json.loads(header)
        return (object_code, about) if about.pop("check") == _check(object_code) else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _check(object_code: bytes) -> str:
    """LLVM ends the process over an object that is damaged."""
    return hashlib.blake2b(object_code, digest_size=16).hexdigest()


def save(key: str, object_code: bytes, description: dict[str, Any], suffix: str = "o") -> None:
    """Written whole or not at all; a cache that cannot be written costs only time."""
    with suppress(OSError):
        place = directory()
        place.mkdir(parents=True, exist_ok=True)
        header = {**description, "check": _check(object_code)}
        write_whole(place / f"{key}.{suffix}", json.dumps(header).encode() + b"\n" + object_code, sync=False)
        if suffix == "o":  # what else there is comes in great numbers, and before an object
            _trim(place)


def _trim(place: Path) -> None:
    """Forget the entries that were used longest ago."""
    entries = itertools.chain(place.glob("*.o"), place.glob("*.ll"))
    found = sorted(((f.stat().st_mtime, f.stat().st_size, f) for f in entries), reverse=True)
    total = 0
    for _, size, file in found:
        total += size
        if total > KEEP_BYTES:
            file.unlink(missing_ok=True)
