"""How many different keys there are, in a few kilobytes: HyperLogLog.

Registers as in Flajolet, Fusy, Gandouet, Meunier (2007), over hashes of 64 bits as in Heule, Nunkesser, Hall,
"HyperLogLog in practice" (EDBT 2013). The estimator is Ertl's, "New cardinality estimation algorithms for HyperLogLog
sketches" (2017), algorithm 6: exact in theory for small and large numbers alike, without tables of corrections.
"""

from __future__ import annotations

import math
from typing import Any

from burstline.errors import UsageError
from burstline.packet.flow_key import WORD
from burstline.packet.packet import Packet
from burstline.state.base import State
from burstline.state.key_hash import Key, hash_key
from burstline.state.region import Region

LEAST, MOST = 4, 18  # of `precision`


class HyperLogLog(State):
    """`sources = HyperLogLog()`; in a stage `sources.add(pkt.ipv4.src)`; in Python `sources.estimate()`. A key is a
    number, an address, or the packet: then its flow, one direction of a 5-tuple.

    With `precision` p there are 2**p registers of a byte, and the estimate's standard error is 1.04 / 2**(p/2): 1.6 %
    with 12. Each worker has its registers; Python reads the union. Raises UsageError.
    """

    def __init__(self, precision: int = 12) -> None:
        if type(precision) is not int or not LEAST <= precision <= MOST:
            raise UsageError(f"precision is {precision!r}", f"give a whole number, {LEAST} to {MOST}")
        self.precision = precision
        self._own: dict[int, int] = {}
        self._regions: list[Region] = []

    def add(self, key: Key | Packet) -> None:
        """Count a key, once however often it comes."""
        hashed = hash_key(key)
        register = hashed >> 64 - self.precision
        rest = hashed << self.precision & WORD | 1 << self.precision - 1
        self._own[register] = max(self._own.get(register, 0), 65 - rest.bit_length())

    def to_numpy(self) -> Any:
        """The registers, bytes, each the largest of all workers'."""
        import numpy as np

        found = np.zeros(1 << self.precision, "u1")
        for register, rank in self._own.items():
            found[register] = rank
        for region in self._regions:
            np.maximum(found, region.numpy("u1", len(found)), out=found)
        return found

    def estimate(self) -> float:
        """About how many different keys were added, to any worker."""
        import numpy as np

        size, longest = 1 << self.precision, 64 - self.precision
        counts = np.bincount(self.to_numpy(), minlength=longest + 2).tolist()
        total = size * _tau(1 - counts[longest + 1] / size)
        for rank in range(longest, 0, -1):
            total = (total + counts[rank]) / 2
        total += size * _sigma(counts[0] / size)
        return size / (2 * math.log(2)) * size / total

    def __repr__(self) -> str:
        return f"HyperLogLog(about {self.estimate():,.0f} keys)"

    def about(self) -> str:
        return f"{1 << self.precision:,} registers, a byte each"

    def signature(self) -> tuple[Any, ...]:
        return (self.precision,)

    def attach(self) -> int:
        self._regions.append(Region(1 << self.precision))
        return self._regions[-1].address

    def addresses(self) -> list[int]:
        return [region.address for region in self._regions]

    def adopt(self, old: HyperLogLog) -> bool:
        if self.precision != old.precision:
            return False
        self._own, self._regions = old._own, old._regions
        return True

    def reset(self) -> None:
        self._own, self._regions = {}, []


def _sigma(x: float) -> float:
    """Ertl's equation 17: x + sum of x**(2**k) * 2**(k - 1); infinite for 1, where all registers are zero."""
    if x == 1:
        return math.inf
    factor, total, before = 1.0, x, -1.0
    while total != before:
        x *= x
        before = total
        total += x * factor
        factor += factor
    return total


def _tau(x: float) -> float:
    """Ertl's equation 18: (1 - x - sum of (1 - x**(2**-k))**2 * 2**-k) / 3."""
    if x in (0, 1):
        return 0.0
    factor, total, before = 1.0, 1 - x, -1.0
    while total != before:
        x = math.sqrt(x)
        before = total
        factor /= 2
        total -= (1 - x) ** 2 * factor
    return total / 3
