"""Capture files and standard input as plain bytes, whether plain or compressed by gzip or zstd.

What a stream is, its first bytes tell, not its name. `open_capture` gives a Python stream; `Feeder` gives a file
descriptor, which is what compiled code reads from.
"""

from __future__ import annotations

import importlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, NamedTuple, Protocol

from burstline.errors import BurstlineError
from burstline.ports.capture_format import GZIP_MAGIC, ZSTD_MAGIC, ZSTD_SKIPPABLE, CaptureError, Fault
from burstline.ports.pipe_feeder import PipeFeeder

STANDARD_INPUT = "-"
_PIECE = 8 << 10  # compressed bytes at a time: zstd may make 256 MiB of them at worst (128 KiB of a 4-byte block)
_GROWN = 256 << 10  # plain or compressed bytes of a file that still grows


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class _Codec(NamedTuple):
    name: str
    decoder: Callable[[], _Decoder]  # for one gzip member or one zstd frame
    error: type[Exception]


class _Input(Protocol):
    """What plain bytes are made from."""

    @property
    def name(self) -> str: ...

    @property
    def codec(self) -> _Codec | None: ...

    def pieces(self) -> Iterator[bytes]: ...


class _File(NamedTuple):
    """An opened input: `head` was read from `fd` to see what it is, and cannot be put back."""

    fd: int
    name: str
    head: bytes
    seekable: bool
    codec: _Codec | None
    owned: bool  # standard input is not ours to close

    def close(self) -> None:
        if self.owned:
            os.close(self.fd)

    def read(self, count: int) -> bytes:
        try:
            return os.read(self.fd, count)
        except OSError as error:
            raise BurstlineError(f"cannot read {self.name}: {error.strerror}") from error

    def pieces(self) -> Iterator[bytes]:
        """The compressed bytes, or the plain ones."""
        if self.head:
            yield self.head
        while data := self.read(_PIECE):
            yield data


class _Growing(NamedTuple):
    """A file that may go on when its end is reached: `goes_on` waits a moment, and tells whether to look again."""

    file: _File
    goes_on: Callable[[], bool]

    @property
    def name(self) -> str:
        return self.file.name

    @property
    def codec(self) -> _Codec | None:
        return self.file.codec

    def pieces(self) -> Iterator[bytes]:
        while True:
            if data := self.file.read(_GROWN):
                yield data
            elif not self.goes_on():
                return


@contextmanager
def open_growing(path: str | os.PathLike[str], goes_on: Callable[[], bool]) -> Iterator[_Input]:
    """A file whose `pieces` end when `goes_on` says so at its end. Raises BurstlineError."""
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        while len(head := os.pread(fd, 4, 0)) < 4 and goes_on():
            pass
        yield _Growing(_File(fd, os.fspath(path), b"", True, _codec(head, os.fspath(path)), True), goes_on)
    finally:
        os.close(fd)


def open_capture(path: str | os.PathLike[str]) -> BinaryIO:
    """The uncompressed bytes of a file, or of standard input for `-`.

    Raises `BurstlineError` when it cannot be opened. A compressed stream that ends early or is damaged raises
    `CaptureError` when it is read to that point, after all that could be decompressed.
    """
    file = _open(os.fspath(path))
    if file.codec is None and not file.head:
        return open(file.fd, "rb", buffering=1 << 18, closefd=file.owned)
    return io.BufferedReader(_Pieces(file), 1 << 18)


class _Pieces(io.RawIOBase):
    """A stream over the pieces of a file; an error waits until all before it has been read."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._pieces = plain_pieces(file)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class Feeder:
    """The descriptor that a compiled reader takes a capture from: `fd`, after the bytes of `head`.

    A plain file, pipe or standard input is read as it is; `seekable` tells whether it is a regular file, and then
    `head` is empty. A compressed one comes out of a pipe that a thread of its own fills: do not hold the GIL while
    reading from it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        file = _open(os.fspath(path))
        self.name = file.name
        self._pipe = PipeFeeder(file.name, _closed_after(file), "decompress") if file.codec else None
        self._owned = file.owned
        self.fd, self.head, self.seekable = file.fd, file.head, file.seekable
        if self._pipe:
            self.fd, self.head, self.seekable = self._pipe.fd, self._pipe.head, self._pipe.seekable

    def finish(self) -> None:
        """To be called after `fd` came to its end: raise what made it end early, if anything did."""
        if self._pipe:
            self._pipe.finish()

    def close(self) -> None:
        """Close `fd` (never standard input), which also ends the thread behind it. Twice does no harm."""
        if self._pipe:
            self._pipe.close()
        elif self._owned:
            os.close(self.fd)
            self._owned = False

    def __enter__(self) -> Feeder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _closed_after(file: _File) -> Generator[bytes, None, None]:
    try:
        yield from plain_pieces(file)
    finally:
        file.close()


def _open(path: str) -> _File:
    owned = path != STANDARD_INPUT
    name = path if owned else "standard input"
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)) if owned else 0
    except OSError as error:
        raise BurstlineError(f"cannot open {name}: {error.strerror}", _hint(error, path)) from error
    try:
        return _look(fd, name, owned)
    except BaseException as error:
        if owned:
            os.close(fd)
        if isinstance(error, OSError):
            raise BurstlineError(f"cannot read {name}: {error.strerror}") from error
        raise


def _look(fd: int, name: str, owned: bool) -> _File:
    """Read the first bytes to see what it is, and go back where that is possible."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISDIR(mode):
        raise BurstlineError(f"cannot open {name}: it is a directory", "name a capture file inside it")
    if os.isatty(fd):
        raise BurstlineError(f"{name} is a terminal", "pipe a capture into it: tcpdump -i eth0 -w - | burstline ...")
    head = b""
    while len(head) < 4 and (more := os.read(fd, 4 - len(head))):
        head += more
    codec = _codec(head, name)
    if seekable := stat.S_ISREG(mode):
        os.lseek(fd, -len(head), os.SEEK_CUR)
        head = b""
    return _File(fd, name, head, seekable, codec, owned)


def _hint(error: OSError, path: str) -> str:
    if isinstance(error, FileNotFoundError):
        return f"is the path right? It is taken from {os.getcwd()}" if not os.path.isabs(path) else "is the path right?"
    if isinstance(error, PermissionError):
        return f"run as a user who may read it, or: sudo chmod o+r {path}"
    return "name a pcap or pcapng file, or - for standard input"


def _codec(head: bytes, name: str) -> _Codec | None:
    if head.startswith(GZIP_MAGIC):
        return _Codec("gzip", lambda: zlib.decompressobj(wbits=31), zlib.error)
    if head == ZSTD_MAGIC or head in ZSTD_SKIPPABLE:
        return _zstd(name)
    return None


def _zstd(name: str) -> _Codec:
    with suppress(ImportError):
        module = importlib.import_module("compression.zstd")  # Python 3.14
        return _Codec("zstd", module.ZstdDecompressor, module.ZstdError)
    with suppress(ImportError):
        module = importlib.import_module("zstandard")
        return _Codec("zstd", lambda: module.ZstdDecompressor().decompressobj(), module.ZstdError)
    raise BurstlineError(
        f"{name} is compressed by zstd, which this Python cannot read",
        "pip install zstandard, or decompress it on the way: zstd -dc FILE | burstline run APP -",
    )


def plain_pieces(file: _Input) -> Iterator[bytes]:
    """The uncompressed bytes, all members or frames one after the other."""
    codec = file.codec
    if codec is None:
        yield from file.pieces()
        return
    decoder: _Decoder | None = None
    done = 0
    for piece in file.pieces():
        data = piece
        while data:
            if decoder is None:
                # gzip files may be padded by zeros, as its manual says of tapes.
                data = data.lstrip(b"\0") if codec.name == "gzip" else data
                if not data:
                    break
                decoder = codec.decoder()
            try:
                plain = decoder.decompress(data)
            except codec.error as error:
                raise CaptureError(file.name, done, Fault.COMPRESSED, detail=f"{codec.name}: {error}") from error
            data = decoder.unused_data if decoder.eof else b""
            decoder = None if decoder.eof else decoder
            done += len(plain)
            if plain:
                yield plain
    if decoder is not None:
        raise CaptureError(file.name, done, Fault.COMPRESSED, detail=f"its {codec.name} stream ends early")
