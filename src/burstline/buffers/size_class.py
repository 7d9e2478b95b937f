"""Buffers of one size on one node: of as many as there may be, some are populated.

Free buffers that are not needed are parked, those of the chunks with the fewest in use first; the memory of a chunk
whose buffers are all parked goes back to the system.
"""

from __future__ import annotations

from burstline.buffers.chunks import Chunks
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.magazines import Magazines


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
        back = min(n, len(rows))
        if back:
            self._parked[rows[:back], columns[:back]] = False
            self.magazines.add(self._addresses[rows[:back], columns[:back]])
        wanted = -(-max(0, n - back) // self.chunks.per_chunk)
        chosen = np.flatnonzero(~self._populated)[:wanted]
        for chunk in chosen:
            self._addresses[chunk] = self.chunks.populate(int(chunk))
            self._populated[chunk] = True
            self.magazines.add(self._addresses[chunk])
        return back + len(chosen) * self.chunks.per_chunk

    def tidy(self) -> int:
        """Look on for the last buffers of chunks of which most are parked, with few free ones at a time; returns of how
        many buffers memory went back."""
        return self.shrink(min(4 * ROUNDS, self.free // 4)) if self.parked else 0

    def shrink(self, n: int) -> int:
        """Withdraw up to `n` free buffers, park those of the chunks that come nearest to being free as a whole, and
        give the memory of free chunks back; returns how many buffers went with it.

        The depot must have `n` to spare. It gives its lowest magazines only after others, so that several calls may be
        needed until chunks come free.
        """
        import numpy as np

        found = self.magazines.withdraw(n, above=max(0, self.free - n) // ROUNDS)
        chunk, within = self.chunks.place(found)
        self.magazines.add(found[chunk < 0])
        self._parked[chunk[chunk >= 0], within[chunk >= 0]] = True
        parked = self._parked.sum(axis=1)
        whole = int(parked.sum()) // self.chunks.per_chunk
        chosen = np.zeros(len(parked), bool)
        chosen[np.argsort(-parked, kind="stable")[:whole]] = True
        back = self._parked & ~chosen[:, None]
        self.magazines.add(self._addresses[back])
        self._parked[back] = False
        gone = np.flatnonzero(self._parked.all(axis=1))
        for one in gone:
            self.chunks.release(int(one))
        self._parked[gone] = False
        self._populated[gone] = False
        return len(gone) * self.chunks.per_chunk
