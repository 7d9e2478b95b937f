"""Packets with their times as traffic for the simulator: packets/s of each flow, look by look."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from burstline.steering.control.flows import Flows


class Captured:
    """Packets in the order of their `times`, nanoseconds, each with the number of its flow, in epochs of `step`
    seconds; the last one ends with the last packet, or later."""

    def __init__(self, flows: Flows, times: Any, numbers: Any, step: float) -> None:
        self.flows, self.step, self._numbers = flows, step, numbers
        begins = int(times[0])
        self.epochs = max(1, math.ceil((int(times[-1]) - begins) / 1e9 / step - 1e-6))
        edges = begins + (np.arange(1, self.epochs) * (step * 1e9)).astype(np.int64)
        self._edges = [0, *np.searchsorted(times, edges).tolist(), len(times)]

    def at(self, epoch: int, cores: Any) -> Any:
        part = self._numbers[self._edges[epoch] : self._edges[epoch + 1]]
        return np.bincount(part, minlength=len(self.flows)) / self.step
