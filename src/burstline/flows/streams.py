"""The beginning of a stream, put together from pieces in any order."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

MOST_KEPT = 1 << 18  # bytes of one


@dataclass
class Stream:
    """One direction of a TCP connection, or what QUIC carries in CRYPTO frames. `beginning` is all that is there
    without a gap. A piece costs the same however many came before it: senders choose how small pieces are."""

    beginning: bytearray = field(default_factory=bytearray)
    _waiting: dict[int, bytes] = field(default_factory=dict)  # pieces behind a gap, by offset
    _offsets: list[int] = field(default_factory=list)  # theirs, as a heap
    _size: int = 0  # of them

    def add(self, offset: int, data: bytes) -> None:
        """What came twice counts as it came first, as hosts take it."""
        if len(self.beginning) + self._size >= MOST_KEPT:
            return
        if offset > len(self.beginning):
            self._keep(offset, data)
            return
        self._go_on(offset, data)
        while self._offsets and self._offsets[0] <= len(self.beginning):
            at = heapq.heappop(self._offsets)
            piece = self._waiting.pop(at)
            self._size -= len(piece)
            self._go_on(at, piece)

    def _go_on(self, offset: int, data: bytes) -> None:
        self.beginning += data[len(self.beginning) - offset :]

    def _keep(self, offset: int, data: bytes) -> None:
        before = self._waiting.get(offset)
        if before is None:
            heapq.heappush(self._offsets, offset)
        if before is None or len(before) < len(data):
            self._waiting[offset] = data
            self._size += len(data) - len(before or b"")
