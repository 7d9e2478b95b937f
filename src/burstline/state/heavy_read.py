"""Reading a worker's sketch while it works, without a lock.

What is read may be torn, and no harm comes of it. A count is 32 bits, aligned, and read as one. A flow loses its place
only to one that is admitted, and only where it had least of its set; the count of the new one begins with that least.
So a tag and a count of which one is old and the other new say of a flow that is no elephant that it has about as much
as that. When a window ends, two addresses change places: that is seen by the number of windows, and read again. An
entry of the ring is whole before it is counted, and those that may have been written over since are left out.
"""

from __future__ import annotations

from typing import Any

from burstline.packet.flow_key import KEY_SIZE
from burstline.state.heavy_head import ENTRY, WAYS, Sketch

TRIES = 4


class Reader:
    """Of one worker's sketch. It remembers the keys of flows that were listed."""

    def __init__(self, sketch: Sketch) -> None:
        self.sketch = sketch
        self.keys: dict[int, bytes] = {}  # by hash
        self._read = 0  # entries of the ring
        self.missed = 0  # entries that were written over before they were read

    def drain(self) -> list[int]:
        """Read what was listed since it was called last; returns the hashes of flows whose keys were not known."""
        sketch, found = self.sketch, list[int]()
        listed, ring = sketch.get("listed"), sketch.ring
        if listed == self._read:
            return found
        first = max(self._read, listed - ring)
        entries = [sketch.region.read(sketch.at["ring"] + ENTRY * (k % ring), ENTRY) for k in range(first, listed)]
        whole = max(first, sketch.get("listed") - ring + 1)  # the one before may be just being written over
        self.missed += min(whole, listed) - self._read
        for entry in entries[whole - first :]:
            hash = int.from_bytes(entry[:8], "little")
            if hash not in self.keys:
                found.append(hash)
            self.keys[hash] = entry[8 : 8 + KEY_SIZE]
        self._read = listed
        return found

    def amounts(self, now: int) -> dict[int, float]:
        """By hash, what known flows were given in the time of a window before `now`, in ns: all of this window's count,
        and of the one before the part that is not older."""
        import numpy as np

        self.drain()
        hashes = np.fromiter(self.keys, "u8", len(self.keys))
        for _ in range(TRIES):
            turns = self.sketch.get("turns")
            counts, before, part = self._counted(hashes), self._counted(hashes, "before"), self._part(now)
            if self.sketch.get("turns") == turns:
                break
        amounts = counts * part[0] + before * part[1]
        if len(self.keys) > 2 * self.sketch.ring:
            gone = hashes[(counts == 0) & (before == 0)].tolist()
            for hash in gone:
                del self.keys[hash]
        return {h: a for h, a in zip(hashes.tolist(), amounts.tolist(), strict=True) if a}

    def _part(self, now: int) -> tuple[float, float]:
        """Of both windows' counts, what lies in the time of a window before now."""
        end, window = self.sketch.get("end"), self.sketch.get("window")
        past = (now - (end - window)) / window
        if past <= 1:
            return 1.0, 1 - max(past, 0)
        return max(0.0, 2 - past), 0.0

    def _counted(self, hashes: Any, name: str = "counts") -> Any:
        import numpy as np

        sketch = self.sketch
        sets = (hashes >> np.uint64(sketch.get("shift"))).astype("i8")
        rows = sketch.region.numpy("u4", sketch.flows, sketch.at["tags"]).reshape(-1, WAYS)[sets]
        its = rows == (hashes & np.uint64(0xFFFFFFFF)).astype("u4")[:, None]
        counts = sketch.region.numpy("u4", sketch.flows, sketch.get(name) - sketch.address).reshape(-1, WAYS)[sets]
        return (counts * its).sum(axis=1)
