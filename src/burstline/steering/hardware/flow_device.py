"""What a back end needs of a NIC: a port of DPDK has it (port_device.py), and the NIC in software (model/nic.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from burstline.steering.hardware.actions import Action
from burstline.steering.hardware.items import Item


@dataclass(frozen=True)
class FlowRule:
    """A rule as rte_flow_create takes it, of received packets and group 0."""

    items: tuple[Item, ...]
    actions: tuple[Action, ...]
    priority: int = 0


class FlowDevice(Protocol):
    """Calls that fail raise FlowRefused."""

    @property
    def driver(self) -> str: ...

    @property
    def queues(self) -> int: ...

    @property
    def reta_size(self) -> int:
        """Buckets of the hash; 0: the device has no RETA."""
        ...

    def create(self, rule: FlowRule) -> int:
        """A rule is in force when it returns; a number to name it by."""
        ...

    def destroy(self, handle: int) -> None: ...

    def query(self, handle: int) -> tuple[int, int]:
        """Packets and bytes that a rule with COUNT matched."""
        ...

    def isolate(self, on: bool) -> None:
        """Whether packets that no rule matches stay out of the port."""
        ...

    def reta(self) -> list[int]:
        """The queue of each bucket."""
        ...

    def update_reta(self, entries: Mapping[int, int]) -> None:
        """New queues of some buckets."""
        ...
