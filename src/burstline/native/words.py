"""Big-endian words of a packet: one spelling for compiled code and for plain Python.

Interpreted, `data` is a memoryview or bytes, so that a read outside the packet raises; compiled (`memory.py`), it is
an address, and the callers' bounds checks are all there is.
"""

from __future__ import annotations

from typing import Protocol


class Words(Protocol):
    """Anything indexable by byte: bytes, bytearray, memoryview."""

    def __getitem__(self, at: int, /) -> int: ...


class WritableWords(Words, Protocol):
    """Anything whose bytes can be set: bytearray, a writable memoryview."""

    def __setitem__(self, at: int, value: int, /) -> None: ...


def be8(data: Words, at: int) -> int:
    return data[at]


def be16(data: Words, at: int) -> int:
    return data[at] << 8 | data[at + 1]


def be32(data: Words, at: int) -> int:
    return data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]


def put16(data: WritableWords, at: int, value: int) -> None:
    data[at] = value >> 8 & 0xFF
    data[at + 1] = value & 0xFF
