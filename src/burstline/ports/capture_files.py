"""The files of a live capture: one, or a directory of them that begin anew by size or by time, compressed if wished."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from burstline.errors import BurstlineError, UsageError
from burstline.ports.capture_format import LINKTYPE_ETHERNET, MAX_CAPTURED
from burstline.ports.capture_writer import STANDARD_OUTPUT, format_for, hint_for, pcap_header
from burstline.ports.pcapng_blocks import (
    InterfaceCounts,
    interface_description,
    interface_statistics,
    section_header,
)

Packets = Sequence[tuple[int, int]]  # and their bytes on the wire, by interface
Compression = Literal["none", "zstd", "gzip"]
SUFFIX: dict[Compression, str] = {"none": "", "zstd": ".zst", "gzip": ".gz"}
NO_LIMIT = 1 << 62
STATISTICS = len(interface_statistics(0, 0, 0, InterfaceCounts()))
FLUSHED = 1.0  # seconds: what is compressed can be read up to then if the machine fails


def compression_of(name: str) -> Compression:
    """As a file's name ends."""
    for kind, suffix in SUFFIX.items():
        if suffix and name.endswith(suffix):
            return kind
    return "none"


@dataclass(frozen=True)
class CaptureOptions:
    """`size` bytes (before compression) and `seconds` after which a new file begins, 0 for never; `files` that are
    kept, the oldest is removed, 0 for all; `snaplen` bytes kept of a packet; `filter` is told in the file."""

    size: int = 0
    seconds: float = 0
    files: int = 0
    compress: Compression = "none"
    level: int = 1
    snaplen: int = MAX_CAPTURED
    filter: str = ""
    buffer: int = 64 << 20  # bytes between each worker and the writer

    @property
    def rotates(self) -> bool:
        return bool(self.size or self.seconds or self.files)


class _Compressor(Protocol):
    def compress(self, data: Any, /) -> bytes: ...

    def flush(self, mode: int = ..., /) -> bytes: ...


class CaptureFiles:
    """`interfaces` are the names of ports. A path that ends in / is a directory. Raises BurstlineError for what cannot
    be written; from then on, nothing is."""

    def __init__(self, path: str, interfaces: Sequence[str], options: CaptureOptions | None = None) -> None:
        self.options = options or CaptureOptions()
        self._path, self._interfaces = path, interfaces
        self._is_directory = path.endswith(os.sep)
        if self.options.rotates and not self._is_directory:
            raise UsageError("a capture that begins new files is written to a directory", f"--out {path}/")
        self.format = "pcapng" if self._is_directory else format_for(path.removesuffix(SUFFIX[self.options.compress]))
        self.closed: list[Path] = []  # those that were written and are there
        self._fd = -1
        self._file = Path(path)
        self._number = 0
        self._compressor: _Compressor | None = None
        self._began = self._due = self._flushed = 0.0
        self.written = 0  # bytes of this file, before compression
        self._start = self._put = self._sure = 0  # size before, since then, and of that what nothing can take away
        self.given: Packets = [(0, 0)] * len(interfaces)  # to all files
        self.kept: Packets = self.given  # of these, those that are in files for sure, and do not wait in a compressor
        self.counts: list[InterfaceCounts] = []  # of this file
        self._told: list[InterfaceCounts] = []

    @property
    def name(self) -> str:
        return "standard output" if self._path == STANDARD_OUTPUT else str(self._file)

    @property
    def room(self) -> int:
        """Bytes that this file may still get."""
        if not self.options.size:
            return NO_LIMIT
        return max(0, self.options.size - self.written - STATISTICS * len(self._interfaces))

    @property
    def is_due(self) -> bool:
        """Whether a new file is to begin by the clock."""
        return bool(self.options.seconds) and time.time() >= self._due

    def open(self) -> None:
        """Begin a file. Raises BurstlineError."""
        self._file = self._next() if self._is_directory else Path(self._path)
        flags = os.O_WRONLY | os.O_CREAT | (os.O_EXCL if self._is_directory else os.O_TRUNC)
        try:
            if self._is_directory:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            self._fd = 1 if self._path == STANDARD_OUTPUT else os.open(self._file, flags, 0o666)
        except OSError as error:
            raise BurstlineError(f"cannot write {self.name}: {error.strerror}", hint_for(error)) from None
        self._compressor = _compressor(self.options)
        self._start = os.fstat(self._fd).st_size  # standard output may go on where a file ends
        self.written = self._put = self._sure = 0
        self.counts = [InterfaceCounts()] * len(self._interfaces)
        self._told = list(self.counts)
        if self.format == "pcap":
            self.write(pcap_header(LINKTYPE_ETHERNET))
            return
        head = section_header("burstline")
        for name in self._interfaces:
            head += interface_description(
                LINKTYPE_ETHERNET, name=name, snaplen=self.options.snaplen, filter=self.options.filter
            )
        self.write(head)

    def _next(self) -> Path:
        self._began = time.time()
        seconds = self.options.seconds
        if seconds:  # files begin at whole multiples, so that those of several machines are alike
            self._due = (self._began // seconds + 1) * seconds
        self._number += 1
        stamp = datetime.fromtimestamp(self._began, UTC).strftime("%Y%m%dT%H%M%SZ")
        return Path(self._path) / f"{stamp}-{os.getpid()}-{self._number:05}.pcapng{SUFFIX[self.options.compress]}"

    def write(self, data: bytes | memoryview, given: Packets | None = None) -> None:
        """Whole records, and what files have been given with them. Raises BurstlineError, after the file was cut back
        to what is `kept`."""
        if self._began == 0:
            self._began = time.time()
        self.written += len(data)
        self.given = given or self.given
        if self._compressor is None:
            self._append(data)
            self._settle()
            return
        self._append(self._compressor.compress(data))
        now = time.monotonic()
        if now - self._flushed >= FLUSHED:
            self._flushed = now
            self._append(self._compressor.flush(_SOFT[self.options.compress]))
            self._settle()

    def _settle(self) -> None:
        self._sure, self.kept = self._put, self.given

    def _append(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._fd, rest) :]
            except OSError as error:
                with suppress(OSError):  # not a regular file
                    os.ftruncate(self._fd, self._start + self._sure)
                raise BurstlineError(f"cannot write {self.name}: {error.strerror}", hint_for(error)) from None
        self._put += len(data)

    def note(self, counts: Sequence[InterfaceCounts]) -> None:
        """How this file's counts are now. Where packets were missed since the last time, the file says so here."""
        self.counts = list(counts)
        for number, (now, before) in enumerate(zip(self.counts, self._told, strict=True)):
            if (now.missed, now.lost) != (before.missed, before.lost):
                self._tell(number)

    def _tell(self, number: int) -> None:
        if self.format == "pcapng":
            self._told[number] = self.counts[number]
            begin, end = (int(at * 1e9) for at in (self._began, time.time()))
            self.write(interface_statistics(number, begin, end, self.counts[number]))

    def close(self) -> None:
        """End this file, with its statistics. Raises BurstlineError."""
        if self._fd < 0:
            return
        try:
            for number in range(len(self.counts)):
                self._tell(number)
            if self._compressor is not None:
                self._append(self._compressor.flush())
            self._settle()
        finally:
            self.abandon()
        self.closed.append(self._file)
        while self.options.files and len(self.closed) > self.options.files:
            with suppress(OSError):
                self.closed.pop(0).unlink()

    def abandon(self) -> None:
        """Leave the file as it is."""
        if self._fd > 1:
            os.close(self._fd)
        self._fd = -1


def _zstd(level: int) -> _Compressor:
    import zstandard

    made: _Compressor = zstandard.ZstdCompressor(level=level).compressobj()
    return made


_SOFT: dict[Compression, int] = {"zstd": 1, "gzip": zlib.Z_SYNC_FLUSH}  # 1: COMPRESSOBJ_FLUSH_BLOCK
_MAKE: dict[Compression, Callable[[int], _Compressor]] = {
    "zstd": _zstd,
    "gzip": lambda level: zlib.compressobj(level, wbits=31),
}


def _compressor(options: CaptureOptions) -> _Compressor | None:
    return None if options.compress == "none" else _MAKE[options.compress](options.level)
