"""Values of any length in data records: each behind its length (RFC 7011, 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

ANY_LENGTH = 65535  # in place of a size in a template
LONG = 255  # bytes from which a length takes three bytes instead of one
_LENGTHS = [bytes((length,)) for length in range(LONG)]


def records(fixed: memoryview, size: int, values: Sequence[Sequence[bytes]], room: int) -> Iterator[tuple[bytes, int]]:
    """Records of `size` bytes with their values of any length behind them, as many as fit into the room, and how many.
    `values` has a list for each column. What is too long for a record that fills the room by itself is cut."""
    piece, count = bytearray(), 0
    columns = [list(map(with_length, column)) for column in values]
    for at, texts in enumerate(map(b"".join, zip(*columns, strict=True))):
        if size + len(texts) > room:
            texts = b"".join(map(with_length, fitting([column[at] for column in values], room - size)))
        if count and len(piece) + size + len(texts) > room:
            yield bytes(piece), count
            piece, count = bytearray(), 0
        piece += fixed[at * size : at * size + size]
        piece += texts
        count += 1
    if count:
        yield bytes(piece), count


def with_length(value: bytes) -> bytes:
    length = len(value)
    return (_LENGTHS[length] if length < LONG else b"\xff" + length.to_bytes(2, "big")) + value


def fitting(values: Sequence[bytes], room: int) -> Sequence[bytes]:
    """The values, of which the longest are cut if all are longer than the room."""
    while (over := sum(len(value) + (1 if len(value) < LONG else 3) for value in values) - room) > 0:
        longest = max(values, key=len)
        if not longest:
            break
        values = [cut(longest, len(longest) - over) if value is longest else value for value in values]
    return values


def cut(value: bytes, length: int) -> bytes:
    """Its beginning, without a piece of a character of UTF-8 (RFC 3629, 3) at the end."""
    length = end = max(0, length)
    while end and length - end < 4 and value[end] & 0xC0 == 0x80:
        end -= 1
    return value[:end] if length - end < 4 else value[:length]
