"""What the controller has in force at its ports: rules of flows, and the RETA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from burstline.steering.control.flow_rule import rules_for
from burstline.steering.control.snapshot import Level
from burstline.steering.rule import FAST_PATH, SteeringRule
from burstline.steering.target import RSS, Drop, Queue, Target

Way = Literal["fast", "bypass", "normal"]


@dataclass(frozen=True)
class Wanted:
    """What should become of a flow: `core` is None where its bucket decides; `rule_key` is that of its rule."""

    rule_key: bytes
    core: int | None = None
    level: Level = "exact"
    path: Way = "normal"

    @property
    def is_plain(self) -> bool:
        """No rule is needed for that."""
        return self.core is None and self.path == "normal"

    def rules(self, *, count: bool, both: bool) -> tuple[SteeringRule, ...]:
        to: Target = Drop() if self.path == "bypass" else RSS if self.core is None else Queue(self.core)
        mark = FAST_PATH if self.path == "fast" else 0
        return rules_for(self.rule_key, to, mark=mark, count=count, both=both)


@dataclass(frozen=True)
class Held:
    """What a flow has, by rules of these handles."""

    wanted: Wanted
    handles: tuple[int, ...]


class InForce:
    """Rules by the keys of their flows, and which core each bucket goes to; `rss` is how plain RSS has it. Cores are
    numbered as queues are."""

    def __init__(self, rss: Sequence[int]) -> None:
        self.rss = tuple(rss)
        self.reta = list(rss)
        self.held: dict[bytes, Held] = {}

    def wanted(self, key: bytes) -> Wanted:
        """What a flow has now."""
        held = self.held.get(key)
        return held.wanted if held else Wanted(key)
