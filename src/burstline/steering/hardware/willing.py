"""A device that creates every rule: what a driver is known not to do is found out without one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field

from burstline.steering.hardware.flow_device import FlowRule


@dataclass
class WillingDevice:
    """Of this driver, with so many queues and buckets."""

    driver: str
    queues: int
    reta_size: int = 0
    _handles: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def create(self, rule: FlowRule) -> int:
        return next(self._handles)

    def destroy(self, handle: int) -> None: ...

    def query(self, handle: int) -> tuple[int, int]:
        return 0, 0

    def isolate(self, on: bool) -> None: ...

    def reta(self) -> list[int]:
        return [bucket % self.queues for bucket in range(self.reta_size)]

    def update_reta(self, entries: Mapping[int, int]) -> None: ...
