"""What a balancing policy sees at one look: workers, and the groups of flows that can move. Rates are per second, means
since the look before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Worker:
    """`busy` is the share of its time in which it had packets to handle, `useful` the share of its polls that found
    some, `packets` what it handled and `fill` how many of them a poll brought; `depth` packets wait at its queues,
    `dropped` found no room there."""

    busy: float
    packets: float
    useful: float = 1.0
    depth: float = 0.0
    dropped: float = 0.0
    parked: bool = False
    fill: float = 1.0

    @property
    def ns(self) -> float:
        """Of a packet; 0 where none came."""
        return 1e9 * self.busy / self.packets if self.packets > 0 else 0.0


@dataclass(frozen=True)
class Seen:
    """By group, which is a bucket of a RETA, a queue, or flows of a rule: the worker that has it (`at`), packets/s that
    were handled, records that would move with it, and whether it is on its way to another worker."""

    time: float
    workers: tuple[Worker, ...]
    at: Ints
    packets: Floats
    records: Floats
    moving: NDArray[np.bool_]
    updates: float = 10_000.0  # of the RETA a second that the device does safely

    @property
    def groups(self) -> int:
        return len(self.at)
