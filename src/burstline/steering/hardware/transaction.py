"""Changes of a device's rules that are all made, or all undone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

from burstline.dpdk.flow_refused import FlowRefused
from burstline.steering.hardware.flow_device import FlowDevice, FlowRule


@dataclass(eq=False)
class Slot:
    """A rule of the device: in force while it has a handle. What it counted before it was last made is kept."""

    rule: FlowRule
    handle: int | None = None
    packets: int = 0
    bytes: int = 0

    @property
    def counts(self) -> bool:
        return any(action.kind == "COUNT" for action in self.rule.actions)

    @property
    def place(self) -> tuple[object, int]:
        """What no two rules of a device may share."""
        return self.rule.items, self.rule.priority

    def counted(self, device: FlowDevice) -> tuple[int, int]:
        if self.handle is None or not self.counts:
            return self.packets, self.bytes
        packets, octets = device.query(self.handle)
        return self.packets + packets, self.bytes + octets


class Transaction:
    """Creates and destroys; after a refusal, `undo` tells what could not be taken back."""

    def __init__(self, device: FlowDevice) -> None:
        self._device = device
        self._undo: list[tuple[Callable[[Slot], None], Slot]] = []

    def create(self, slot: Slot) -> None:
        self._create(slot)
        self._undo.append((self._destroy, slot))

    def destroy(self, slot: Slot) -> None:
        self._destroy(slot)
        self._undo.append((self._create, slot))

    def undo(self) -> list[Slot]:
        """From the last change on; returns the rules that are now otherwise than they were."""
        wrong = []
        for take_back, slot in reversed(self._undo):
            try:
                take_back(slot)
            except FlowRefused:
                wrong.append(slot)
        self._undo.clear()
        return wrong

    def _create(self, slot: Slot) -> None:
        slot.handle = self._device.create(slot.rule)

    def _destroy(self, slot: Slot) -> None:
        assert slot.handle is not None
        packets, octets = slot.packets, slot.bytes
        with contextlib.suppress(FlowRefused):
            packets, octets = slot.counted(self._device)
        self._device.destroy(slot.handle)
        slot.handle, slot.packets, slot.bytes = None, packets, octets
