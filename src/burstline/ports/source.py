"""Where packets of a run come from that is no live port: a capture file, standard input, or the generator."""

from __future__ import annotations

import io
from typing import BinaryIO, Protocol, cast

from burstline.ports.decompress import Feeder, open_capture
from burstline.ports.traffic import SCHEME

FOLLOWED = "follow:"


class Source(Protocol):
    """A capture that compiled code reads from the descriptor `fd`, after the bytes of `head`.

    `seekable` tells whether it is a regular file. After its end, `finish` raises what made it end early; `close` can
    be called at any time, and twice.
    """

    name: str
    fd: int
    head: bytes
    seekable: bool

    def finish(self) -> None: ...

    def close(self) -> None: ...


def open_source(path: str) -> Source:
    """`gen:...`, `follow:...`, a capture file, or `-` for standard input. Raises `BurstlineError` when it cannot be
    opened."""
    if path.startswith(SCHEME):
        from burstline.ports.generator_feeder import GeneratorFeeder

        return GeneratorFeeder(path)
    if path.startswith(FOLLOWED):
        from burstline.ports.follow import Follower

        return Follower(path.removeprefix(FOLLOWED))
    return Feeder(path)


def open_stream(path: str) -> BinaryIO:
    """The same for plain Python: the uncompressed bytes of a capture."""
    if path.startswith(SCHEME):
        from burstline.ports.generator_feeder import GeneratorStream

        return cast(BinaryIO, io.BufferedReader(GeneratorStream(path), 1 << 18))
    return open_capture(path)
