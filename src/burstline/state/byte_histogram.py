"""`ByteHistogram`: how often each value of a byte occurs."""

from __future__ import annotations

from typing import Any

from burstline.native.bytes_view import Bytes
from burstline.state.base import State
from burstline.state.region import Region

VALUES, TABLES = 256, 4  # a worker counts in four tables in turn: a count that was just written cannot be read at once


class ByteHistogram(State):
    """`seen = ByteHistogram()`; in a stage `seen.add(pkt.payload)`; after the run `seen.counts`, 256 numbers."""

    def __init__(self) -> None:
        self._own = [0] * VALUES
        self._regions: list[Region] = []

    def add(self, view: Bytes) -> None:
        """Count all bytes of a view."""
        for value in bytes(view):
            self._own[value] += 1

    @property
    def counts(self) -> list[int]:
        """Of all workers, by value."""
        found = list(self._own)
        for region in self._regions:
            for k in range(VALUES * TABLES):
                found[k % VALUES] += region.i64(8 * k)
        return found

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        self._regions.append(Region(8 * VALUES * TABLES))
        return self._regions[-1].address

    def addresses(self) -> list[int]:
        return [region.address for region in self._regions]

    def adopt(self, old: ByteHistogram) -> bool:
        self._own, self._regions = old._own, old._regions
        return True

    def reset(self) -> None:
        self._own, self._regions = [0] * VALUES, []
