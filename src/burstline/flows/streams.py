"""The beginning of a stream, put together from pieces in any order."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST_WAITING = 1 << 18  # bytes that are kept of one


@dataclass
class Stream:
    """One direction of a TCP connection, or what QUIC carries in CRYPTO frames."""

    parts: dict[int, bytes] = field(default_factory=dict)
    size: int = 0

    def add(self, offset: int, data: bytes) -> None:
        if len(self.parts.get(offset, b"")) < len(data) and self.size < MOST_WAITING:
            self.parts[offset] = data
            self.size += len(data)

    def beginning(self) -> bytes:
        """All that is there without a gap. What came twice counts as it came first, as hosts take it."""
        if len(self.parts) == 1 and 0 in self.parts:
            return self.parts[0]
        whole = bytearray()
        for offset in sorted(self.parts):
            if offset > len(whole):
                break
            whole += self.parts[offset][len(whole) - offset :]
        return bytes(whole)
