"""How often each of very many keys occurs, in memory of a fixed size: the count-min sketch.

Cormode and Muthukrishnan, "An improved data stream summary: the count-min sketch and its applications", J. Algorithms
2005; conservative update: Estan and Varghese, "New directions in traffic measurement and accounting", SIGCOMM 2002.

Each line of memory belongs to two rows, four counters to each: a key touches one line for every two rows.
"""

from __future__ import annotations

import operator
from typing import Any

from burstline.errors import UsageError
from burstline.packet.flow_key import WORD
from burstline.packet.packet import Packet
from burstline.state.base import State
from burstline.state.key_hash import Key, hash_key, hash_word, signed
from burstline.state.region import Region

LINE, COUNTERS = 64, 4  # bytes of a line; counters that each of its two rows has there
MOST_WIDTH, LEAST_DEPTH, MOST_DEPTH = 1 << 26, 4, 16
HEAD = LINE  # bytes before the counters: the number of lines that two rows have, and the sum of all that was added


class CountMin(State):
    """`talkers = CountMin(width=65_536)`; in a stage `talkers.add(key, n)`, which returns the new estimate, and
    `talkers.estimate(key)`. A key is a number, an address, or the packet: then its flow, one direction of a 5-tuple.

    An estimate is never below what was added for the key. It is above by more than e / width of all that was added with
    a probability of about e**-depth. With `conservative`, only counters that the estimate needs are raised: it is
    closer then, and n must not be negative. Each worker has a sketch; Python reads their sum. Raises UsageError.
    """

    def __init__(self, width: int = 1 << 16, depth: int = 4, *, conservative: bool = False) -> None:
        if type(width) is not int or not COUNTERS <= width <= MOST_WIDTH:
            raise UsageError(f"width {width!r} is out of range", f"give {COUNTERS} to {MOST_WIDTH:,} counters a row")
        if type(depth) is not int or not LEAST_DEPTH <= depth <= MOST_DEPTH or depth % 2:
            hint = f"give an even one, {LEAST_DEPTH} to {MOST_DEPTH}"
            raise UsageError(f"depth {depth!r} is no number of rows", hint)
        self.lines = -(-width // COUNTERS)
        self.width, self.depth, self.conservative = self.lines * COUNTERS, depth, bool(conservative)
        self._own: dict[int, int] = {}  # counters by their place
        self._own_total = 0
        self._regions: list[Region] = []

    def places(self, key: Key | Packet) -> list[int]:
        """Of the key's counters: which they are, in the order of rows."""
        hashed, found = hash_key(key), []
        for pair in range(self.depth // 2):
            if pair % 2 == 0:
                hashed = hash_word(hashed)
            turned = hashed if pair % 2 == 0 else (hashed >> 32 | hashed << 32) & WORD
            line = pair * self.lines + (turned * self.lines >> 64)
            within = hashed >> 4 * (pair % 2)
            found += [2 * COUNTERS * line + (within & 3), 2 * COUNTERS * line + COUNTERS + (within >> 2 & 3)]
        return found

    def add(self, key: Key | Packet, n: int = 1) -> int:
        """Add n to what is counted for the key; returns the new estimate."""
        n, places = operator.index(n), self.places(key)
        self._own_total = signed(self._own_total + n)
        counts = [self._own.get(place, 0) for place in places]
        raised = signed(min(counts) + n)
        for place, count in zip(places, counts, strict=True):
            self._own[place] = max(count, raised) if self.conservative else signed(count + n)
        return min(self._own[place] for place in places)

    def estimate(self, key: Key | Packet) -> int:
        """What was added for the key, or more, over all workers."""
        own = [self._own.get(place, 0) for place in self.places(key)]
        read = [[r.i64(HEAD + 8 * place) for place in self.places(key)] for r in self._regions]
        return min(map(sum, zip(own, *read, strict=True)))

    @property
    def total(self) -> int:
        """All that was added, over all workers."""
        return self._own_total + sum(region.i64(8) for region in self._regions)

    def to_numpy(self) -> Any:
        """The counters of all workers, int64, a row of the array for each row of the sketch."""
        import numpy as np

        found = np.zeros(self.depth * self.width, "i8")
        for place, count in self._own.items():
            found[place] = count
        for region in self._regions:
            found += region.numpy("i8", len(found), HEAD)
        pairs = found.reshape(self.depth // 2, self.lines, 2, COUNTERS)
        return pairs.swapaxes(1, 2).reshape(self.depth, self.width)

    def __repr__(self) -> str:
        return f"CountMin({self.depth} rows of {self.width:,}: {self.total:,} added)"

    def about(self) -> str:
        return f"{self.depth} rows of {self.width:,} counters, {8 * self.depth * self.width:,} bytes"

    def signature(self) -> tuple[Any, ...]:
        return (self.depth, self.conservative)

    def attach(self) -> int:
        region = Region(HEAD + 8 * self.depth * self.width)
        region.set_i64(0, self.lines)
        self._regions.append(region)
        return region.address

    def addresses(self) -> list[int]:
        return [region.address for region in self._regions]

    def adopt(self, old: CountMin) -> bool:
        if (self.signature(), self.width) != (old.signature(), old.width):
            return False
        self._own, self._own_total, self._regions = old._own, old._own_total, old._regions
        return True

    def reset(self) -> None:
        self._own, self._own_total, self._regions = {}, 0, []
