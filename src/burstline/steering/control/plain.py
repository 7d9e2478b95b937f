"""`plain`: RSS as it is, and nothing done about it."""

from __future__ import annotations

from dataclasses import dataclass

from burstline.steering.control.actions import Action
from burstline.steering.control.snapshot import Snapshot


@dataclass(frozen=True)
class Plain:
    """A policy without actions."""

    name: str = "plain"

    def start(self) -> None:
        return None

    def decide(self, memory: None, seen: Snapshot) -> tuple[None, list[Action]]:
        return None, []
