"""A view of bytes in plain Python: `pkt.payload`, `.options`, a record's `bytes_` field. Compiled: `bytes_type.py`."""

from __future__ import annotations

from typing import overload


class Bytes:
    """Some bytes of a packet, not copied: what is written to the packet later shows here.

    Items are 0 to 255, `[a:b]` is another view; `be16(i)` and `be32(i)` read big-endian numbers. An index counts from
    the end when negative, and raises `IndexError` when it is not inside.
    """

    __slots__ = ("_data",)

    def __init__(self, data: memoryview) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data)

    @overload
    def __getitem__(self, index: int) -> int: ...

    @overload
    def __getitem__(self, index: slice) -> Bytes: ...

    def __getitem__(self, index: int | slice) -> int | Bytes:
        if not isinstance(index, slice):
            return self._number(index, 1)
        if index.step is not None:
            raise TypeError("a slice of a packet's bytes has no step: write [a:b]")
        return Bytes(self._data[index])

    def be16(self, index: int) -> int:
        """The 16-bit number at `index`, big-endian."""
        return self._number(index, 2)

    def be32(self, index: int) -> int:
        """The 32-bit number at `index`, big-endian."""
        return self._number(index, 4)

    def startswith(self, prefix: bytes) -> bool:
        """Whether these bytes begin with a bytes literal."""
        return self._data[: len(prefix)] == prefix

    def _number(self, index: int, width: int) -> int:
        at = index + len(self._data) if index < 0 else index
        if at < 0 or at + width > len(self._data):
            raise IndexError("outside the bytes of the packet")
        return int.from_bytes(self._data[at : at + width], "big")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Bytes):
            return self._data == other._data
        return self._data == other if isinstance(other, (bytes, bytearray, memoryview)) else NotImplemented

    def __contains__(self, part: int | bytes) -> bool:
        return part in bytes(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def __repr__(self) -> str:
        return f"Bytes({bytes(self._data)!r})"
