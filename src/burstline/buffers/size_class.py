"""Buffers of one size on one node: of as many as there may be, some are populated.

Free buffers that are not needed are parked, those of the chunks with the fewest in use first; the memory of a chunk
whose buffers are all parked goes back to the system. A slab allocator does so when slabs are empty (Bonwick, "The Slab
Allocator", USENIX Summer 1994, section 3.4); here the choice of chunks makes them empty.
"""

from __future__ import annotations

from typing import Any

from burstline.buffers.chunks import Chunks
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.magazines import Magazines

BATCH = 8 * ROUNDS  # buffers that come at a time, at least: magazines are full then, but for the last


class SizeClass:
    """`grow` populates memory for buffers, `shrink` gives memory back; one thread at a time calls them, while workers
    take and give by `magazines`. `fixed` buffers were added to these already and stay for good."""

    def __init__(self, chunks: Chunks, magazines: Magazines) -> None:
        import numpy as np

        self.chunks, self.magazines = chunks, magazines
        self.fixed = magazines.added
        self.most = self.fixed + chunks.count * chunks.per_chunk
        self._populated = np.zeros(chunks.count, bool)
        self._parked = np.zeros((chunks.count, chunks.per_chunk), bool)
        self._addresses = np.zeros((chunks.count, chunks.per_chunk), np.int64)

    def __repr__(self) -> str:
        return f"SizeClass({self.populated} of {self.most} buffers)"

    @property
    def populated(self) -> int:
        """Buffers whose memory is there, parked ones included."""
        return self.fixed + int(self._populated.sum()) * self.chunks.per_chunk

    @property
    def parked(self) -> int:
        """Of those, how many are held back until the rest of their chunks is free."""
        return int(self._parked.sum())

    @property
    def usable(self) -> int:
        """All but the parked ones."""
        return self.magazines.added

    @property
    def in_use(self) -> int:
        """Of those, how many somebody has taken."""
        return self.magazines.in_use

    @property
    def free(self) -> int:
        """How many can be taken: in the depot and in the caches of cores."""
        return self.magazines.added - self.in_use

    @property
    def memory(self) -> int:
        """Bytes of memory in populated chunks."""
        return int(self._populated.sum()) * self.chunks.bytes

    def grow(self, n: int) -> int:
        """Make at least `n` more buffers free, as far as `most` allows, and return how many. Their memory is populated
        before anybody can take them. Parked ones come first. Raises BurstlineError where there is no memory."""
        import numpy as np

        rows, columns = np.nonzero(self._parked)
        order = np.argsort(self._parked.sum(axis=1)[rows], kind="stable")  # of chunks with the most in use first
        rows, columns = rows[order], columns[order]
        back = min(n, len(rows))
        if back:
            self._parked[rows[:back], columns[:back]] = False
            self.magazines.add(self._addresses[rows[:back], columns[:back]])
        wanted = -(-max(0, n - back) // self.chunks.per_chunk)
        chosen = np.flatnonzero(~self._populated)[:wanted]
        batch = -(-BATCH // self.chunks.per_chunk)
        for first in range(0, len(chosen), batch):
            ready: list[int] = []
            try:
                for chunk in chosen[first : first + batch]:
                    self._addresses[chunk] = self.chunks.populate(int(chunk))
                    self._populated[chunk] = True
                    ready.append(chunk)
            finally:
                self.magazines.add(self._addresses[ready].ravel())
        return back + len(chosen) * self.chunks.per_chunk

    def tidy(self) -> int:
        """Where buffers are parked, give back the memory of as many chunks that came free as a whole since; returns of
        how many buffers. Others come out of parking for them. Nothing is moved when there is nothing to gain."""
        if not self.parked:
            return 0
        per_chunk = self.chunks.per_chunk
        whole = int((self._free() == per_chunk).sum())
        more = -self.parked % per_chunk
        if whole > self.parked // per_chunk and more <= self.free // 4:
            return self.shrink(more)
        return self.shrink(0) if whole and self.parked >= per_chunk else 0

    def shrink(self, n: int) -> int:
        """Park up to `n` more free buffers, and as many as are parked already: those of the chunks of which most are
        free. Give the memory of chunks that are free as a whole back; returns how many buffers went with it.

        The depot must have `n` to spare. What is in use, or in caches of cores, holds its chunk; the rest of such a
        chunk stays parked, so that nobody takes more of it.
        """
        import numpy as np

        if self.chunks.count == 0:
            return 0
        free = self._free()
        order = np.argsort(-free, kind="stable")
        spare = n + self.parked
        up_to = np.cumsum(free[order])
        whole = np.zeros(len(free), bool)
        whole[order[up_to <= spare]] = True
        last = order[whole.sum()] if whole.sum() < len(order) else -1  # of which some are parked
        others = self._parked & ~whole[:, None]
        self.magazines.add(self._addresses[others])
        self._parked[others] = False
        room, of_last = spare - self.parked, spare - int(free[whole].sum())

        def wanted(addresses: Any) -> Any:
            nonlocal room, of_last
            chunk, _ = self.chunks.place(addresses)
            some = np.flatnonzero((chunk >= 0) & whole[chunk])[:room]
            room -= len(some)
            more = np.flatnonzero((chunk >= 0) & (chunk == last))[: min(room, of_last)]
            room -= len(more)
            of_last -= len(more)
            chosen = np.zeros(len(addresses), bool)
            chosen[some] = chosen[more] = True
            return chosen

        chunk, within = self.chunks.place(self.magazines.pick(wanted))
        self._parked[chunk, within] = True
        gone = np.flatnonzero(self._parked.all(axis=1))
        for one in gone:
            self.chunks.release(int(one))
            self._parked[one] = False
            self._populated[one] = False
        return len(gone) * self.chunks.per_chunk

    def _free(self) -> Any:
        """Buffers of each chunk that are parked, or in the depot."""
        import numpy as np

        chunk, _ = self.chunks.place(self.magazines.peek())
        there = chunk[(chunk >= 0) & (chunk < self.chunks.count)]
        return np.bincount(there, minlength=self.chunks.count) + self._parked.sum(axis=1)
