"""The captures that the benches read: generated once, kept in the cache, warm in the page cache."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import engine
from benchmarks.harness.process import output
from burstline.errors import BurstlineError

MEAN_SIZE, ZIPF, SEED = 360, 1.1, 1
_FILE_HEADER, _RECORD_HEADER = 24, 16  # of a classic pcap file
_LITTLE = (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1")  # microseconds, nanoseconds
_BIG = tuple(magic[::-1] for magic in _LITTLE)


def capture(cache: Path, packets: int, flows: int, say: Callable[[str], None]) -> Path:
    """A capture of `packets` packets, `MEAN_SIZE` bytes on average, in `flows` flows of Zipf-distributed sizes."""
    path = cache / f"{packets}-packets-{flows}-flows-seed-{SEED}.pcap"
    if not path.exists():
        say(f"generating {path}")
        cache.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.pcap")
        sizes = ("--packets", packets, "--flows", flows, "--zipf", ZIPF, "--mean", MEAN_SIZE, "--seed", SEED)
        output(engine.command("gen", part, *map(str, sizes)))
        os.replace(part, path)
    warm(path)
    return path


def first(path: Path, packets: int) -> Path:
    """A capture of the first `packets` packets of `path`, beside it; peers that take minutes are measured on it."""
    sample = path.with_name(f"{path.stem}-first-{packets}.pcap")
    if not sample.exists() or sample.stat().st_mtime < path.stat().st_mtime:
        part = sample.with_suffix(".part")
        with open(path, "rb") as source, open(part, "wb") as out:
            header = source.read(_FILE_HEADER)
            order = "<" if header[:4] in _LITTLE else ">"
            if header[:4] not in (*_LITTLE, *_BIG):
                raise BurstlineError(f"{path} is not a classic pcap file", "remove it; it is generated again")
            out.write(header)
            for _ in range(packets):
                record = source.read(_RECORD_HEADER)
                if len(record) < _RECORD_HEADER:
                    break
                out.write(record + source.read(struct.unpack(f"{order}I", record[8:12])[0]))
        os.replace(part, sample)
    warm(sample)
    return sample


def warm(path: Path) -> None:
    """Read the file once, so that no measured run waits for the disk."""
    with open(path, "rb", buffering=0) as file:
        buffer = bytearray(1 << 20)
        while file.readinto(buffer):
            pass
