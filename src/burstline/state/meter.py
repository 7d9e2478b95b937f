"""Token buckets: whether a packet keeps to a rate (RFC 2697 and 2698; theirs with one bucket and two colours).

Tokens are counted in parts so small that each nanosecond brings a whole number of them: nothing is rounded, ever.
"""

from __future__ import annotations

from typing import Any, Literal

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.packet.packet import Packet
from burstline.state.base import State
from burstline.state.region import Block

SECOND = 1_000_000_000  # ns
MOST_RATE, MOST_BURST, MOST_WORKERS = 10**15, 10**8, 64  # a full bucket of each of them is less than 2**63 parts
NEVER = -(1 << 63)
Unit = Literal["packets", "bytes"]


class MeterBlock(Struct):
    """A worker's bucket. A token has `parts` parts, and each nanosecond brings `rate` of them."""

    level: i64  # parts in the bucket
    last: i64  # until when it was filled: the latest time of a packet
    rate: i64
    burst: i64  # tokens that it holds
    parts: i64
    fill_time: i64  # ns until an empty bucket is full
    of_bytes: i64  # 1: a token is a byte, 0: a packet
    allowed: i64
    exceeded: i64


class Meter(State):
    """`limit = Meter(rate=1_000_000, burst=20_000, unit="bytes")`; in a stage `limit.allow(pkt)` is true or false.

    `rate` is tokens a second (RFC 2697: CIR), `burst` what the bucket holds (CBS): it is full at first. A token is a
    packet, or a byte of its length on the wire. The clock is `pkt.time`; time that goes back brings no tokens. Several
    workers share the rate, each having its part of it and a bucket of its own. Raises UsageError.
    """

    def __init__(self, rate: int, burst: int, unit: Unit = "packets") -> None:
        if unit not in ("packets", "bytes"):
            raise UsageError(f"unit is {unit!r}", 'write "packets" or "bytes"')
        for name, value, most in (("rate", rate, MOST_RATE), ("burst", burst, MOST_BURST)):
            if type(value) is not int or not 1 <= value <= most:
                raise UsageError(f"{name} is {value!r}", f"give a whole number of {unit}, 1 to {most:,}")
        self.rate, self.burst, self.unit = rate, burst, unit
        self._blocks: list[Block] = []
        self._reset_own()

    def _reset_own(self) -> None:
        self._level, self._last = 0, NEVER
        self._allowed = self._exceeded = 0

    def allow(self, pkt: Packet) -> bool:
        """Whether there are tokens for the packet, which are taken then."""
        full = self.burst * SECOND
        if pkt.time > self._last:
            self._level = min(full, self._level + (pkt.time - self._last) * self.rate)
            self._last = pkt.time
        cost = (pkt.length if self.unit == "bytes" else 1) * SECOND
        if cost > self._level:
            self._exceeded += 1
            return False
        self._level -= cost
        self._allowed += 1
        return True

    @property
    def allowed(self) -> int:
        """Packets that kept to the rate, of all workers."""
        return self._allowed + sum(b.get("allowed") for b in self._blocks)

    @property
    def exceeded(self) -> int:
        """Packets that did not."""
        return self._exceeded + sum(b.get("exceeded") for b in self._blocks)

    def __repr__(self) -> str:
        return f"Meter({self.about()})"

    def about(self) -> str:
        return f"{self.rate:,} {self.unit} a second, {self.burst:,} at once"

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        if len(self._blocks) == MOST_WORKERS:
            raise UsageError(f"a meter has room for {MOST_WORKERS} workers", "use fewer")
        self._blocks.append(Block(MeterBlock.layout))
        self._blocks[-1].set(last=NEVER, rate=self.rate, burst=self.burst, of_bytes=int(self.unit == "bytes"))
        parts = SECOND * len(self._blocks)
        for block in self._blocks:  # with more parts to a token, the same number of parts is a smaller rate
            block.set(parts=parts, fill_time=-(-self.burst * parts // self.rate))
        return self._blocks[-1].address

    def addresses(self) -> list[int]:
        return [b.address for b in self._blocks]

    def adopt(self, old: Meter) -> bool:
        if (self.rate, self.burst, self.unit) != (old.rate, old.burst, old.unit):
            return False
        self._blocks, self._level, self._last = old._blocks, old._level, old._last
        self._allowed, self._exceeded = old._allowed, old._exceeded
        return True

    def reset(self) -> None:
        self._blocks = []
        self._reset_own()
