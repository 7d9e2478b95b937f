"""How values are spread: counts in buckets whose width grows with the value, one set per worker.

Each power of two is divided into equally wide buckets, so that any value is known to within the same share of itself
(as in HdrHistogram; the error bound and the quantile are those of Masson, Rim, Lee, "DDSketch", VLDB 2019).
"""

from __future__ import annotations

import math
import operator
from collections import Counter
from typing import Any, NamedTuple

from burstline.errors import UsageError
from burstline.state.base import State
from burstline.state.key_hash import signed
from burstline.state.region import Region

COUNTS_AT = 64  # bytes: before the counts lies the sum of all values, 128 bits


class Bucket(NamedTuple):
    """Values from `low` to `high`, both included."""

    low: int
    high: int
    values: int


class Histogram(State):
    """`sizes = Histogram("sizes")`; in a stage `sizes.add(pkt.length)`, or `add(value, n)` for n such values.

    A value is known to within `precision`, a share of it, e.g. 0.01 for a hundredth; small ones exactly. Values are 0
    to 2**63 - 1, and those below 0 count as 0. Raises UsageError.
    """

    def __init__(self, name: str, precision: float = 0.01) -> None:
        if not 1e-5 <= precision <= 0.5:
            raise UsageError(f"a precision of {precision} is out of range", "give 0.00001 to 0.5, a share of the value")
        self.name, self.precision = name, precision
        self.bits = math.ceil(-math.log2(precision)) - 1  # of a value behind its highest one: its bucket's number
        self._own: Counter[int] = Counter()
        self._own_sum = 0
        self._regions: list[Region] = []

    @property
    def buckets(self) -> int:
        """How many there are, most of which stay empty, and then take no memory."""
        return 64 - self.bits << self.bits

    def add(self, value: int, n: int = 1) -> None:
        """Count `value` n times."""
        value, n = max(signed(operator.index(value)), 0), operator.index(n)
        self._own[self._number(value)] += n
        self._own_sum += value * n

    def _number(self, value: int) -> int:
        shift = max(value.bit_length() - 1 - self.bits, 0)
        return (shift << self.bits) + (value >> shift)

    def _bounds(self, number: int) -> tuple[int, int]:
        shift = max((number >> self.bits) - 1, 0)
        low = number - (shift << self.bits) << shift
        return low, low + (1 << shift) - 1

    def _merged(self) -> dict[int, int]:
        """How many values there are in each bucket that is not empty, by its number."""
        total = Counter(self._own)
        for region in self._regions:
            counts = region.numpy("i8", self.buckets, COUNTS_AT).copy()  # workers may count meanwhile
            for number in counts.nonzero()[0].tolist():
                total[number] += int(counts[number])
        return total

    @property
    def count(self) -> int:
        """How many values there are, of all workers."""
        return sum(self._merged().values())

    @property
    def sum(self) -> int:
        """Of all values, exactly."""
        read = (int.from_bytes(r.read(0, 16), "little", signed=True) for r in self._regions)
        return self._own_sum + sum(read)

    @property
    def min(self) -> int:
        """The lower bound of the lowest bucket that is not empty; 0 where all are."""
        found = self.counts()
        return found[0].low if found else 0

    @property
    def max(self) -> int:
        """The upper bound of the highest bucket that is not empty; 0 where all are."""
        found = self.counts()
        return found[-1].high if found else 0

    def counts(self) -> list[Bucket]:
        """The buckets that are not empty, by rising value."""
        return [Bucket(*self._bounds(k), n) for k, n in sorted(self._merged().items()) if n]

    def quantile(self, q: float) -> int:
        """The middle of the bucket that holds the value above a share q of all, 0 to 1: the median is 0.5. 0 where
        there are no values."""
        if not 0 <= q <= 1:
            raise UsageError(f"there is no quantile {q}", "give a share, 0 to 1: the median is 0.5")
        found = self.counts()
        rank = int(q * (sum(bucket.values for bucket in found) - 1))
        for low, high, count in found:
            if rank < count:
                return (low + high) // 2
            rank -= count
        return 0

    def __repr__(self) -> str:
        return f"Histogram({self.name!r}: {self.count} values)"

    def about(self) -> str:
        return f"{self.name}, values to within {100 * self.precision:g} %"

    def signature(self) -> tuple[Any, ...]:
        return (self.bits,)

    def attach(self) -> int:
        self._regions.append(Region(COUNTS_AT + 8 * self.buckets))
        return self._regions[-1].address

    def addresses(self) -> list[int]:
        return [region.address for region in self._regions]

    def adopt(self, old: Histogram) -> bool:
        if self.bits != old.bits:
            return False
        self._own, self._own_sum, self._regions = old._own, old._own_sum, old._regions
        return True

    def reset(self) -> None:
        self._own, self._own_sum, self._regions = Counter(), 0, []
