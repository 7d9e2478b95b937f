"""Fields of a message one after the other, each of a size that is known or that lies in front of it."""

from __future__ import annotations


class Malformed(ValueError):
    """These bytes are no such message, or less than it says."""


class Fields:
    """Numbers are in the network's order. All raise Malformed where less is left."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self.at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise Malformed
        self.at += size
        return self._data[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """What a length of `size` bytes lies in front of (RFC 8446, 3.4)."""
        return self.take(self.number(size))

    def varint(self) -> int:
        """RFC 9000, 16."""
        first = self.number(1)
        size = 1 << (first >> 6)
        return (first & 0x3F) << 8 * (size - 1) | self.number(size - 1)
