"""`[numa_balance]`: how the balancer decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from burstline.schema import Conflict, boolean, integer, key, number, one_of, seconds, text

ACTS = ("off", "dry-run", "on")


@dataclass(frozen=True)
class BalanceSettings:
    """`[numa_balance]`: when the balancer moves groups of flows between workers, and what it takes a move to cost."""

    act: Literal["off", "dry-run", "on"] = key("off", one_of(*ACTS))  # beside live ports
    log: str | None = key(None, text("the name of a file"))  # that decisions are written to
    look: float = key(0.01, seconds())  # from one snapshot to the next
    least: float = key(0.2, seconds())  # for which a gain is counted on; for longer where traffic stays as it is,
    horizon: float = key(10.0, seconds())  # up to this
    held: float = key(0.005, seconds(zero=True))  # for which packets of what moves wait
    late: float = key(0.0001, seconds())  # a packet that waits longer is late, however much longer
    sure: float = key(3.0, number(0, 10))  # standard errors of the load by which a move must pay
    margin: float = key(1.5, number(1, 100))  # times its price that a move must gain
    near: float = key(0.5, number(0, 1))  # of the best gain anywhere: with so much, what is nearer is taken
    dwell: float = key(0.2, seconds(zero=True))  # for which what moved stays; doubled each time while nothing changes
    moves: float = key(200.0, number(0, 1e6))  # a second, at most
    at_once: int = key(16, integer(1, 4096))  # and from one look to the next
    park: bool = key(False, boolean())  # workers that the load does not need are parked
    low: float = key(0.5, number(0.01, 0.95))  # mean load up to which the others can be with one less
    high: float = key(0.8, number(0.02, 1))  # mean load from which on one is woken
    calm: float = key(1.0, seconds())  # for which a worker must not have been needed; doubled each time

    tune: bool = key(False, boolean())  # workers follow what the learned cost model advises

    def conflict(self) -> Conflict | None:
        if self.low >= self.high:
            return Conflict("low", f"is {self.low:g}, not below high = {self.high:g}", "give low the smaller one")
        return None
