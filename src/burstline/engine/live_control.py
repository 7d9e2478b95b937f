"""The steering controller beside live ports: from what workers noted to rules and buckets that are moved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from burstline.engine.live_controller import LiveController
from burstline.engine.steered import Steered
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable
from burstline.steering.control.actions import Path, RollBack
from burstline.steering.control.carry_out import CarryOut
from burstline.steering.control.controller import Controller
from burstline.steering.control.decision_log import spelled, spelled_failure
from burstline.steering.control.in_force import InForce
from burstline.steering.control.memory import Memory
from burstline.steering.control.settings import Settings
from burstline.steering.control.sight import Reading, Sight
from burstline.steering.control.snapshot import Failure


class LiveControl(LiveController):
    """What it decides is about queues. Raises UsageError."""

    name = "steering controller"

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        ports: Steered,
        cores: Sequence[int],
        *,
        missed: Callable[[], int] = lambda: 0,
        say: Callable[[str], None] | None = None,
        source: str = "",
    ) -> None:
        super().__init__(settings, ports, cores, missed, say, source)
        self.settings = settings
        self._controller = Controller(settings)
        self._there = InForce(ports.reta)
        self._failures: list[Failure] = []
        self._memory, self._sight, self._carry_out = self._beginning(pipeline)
        self._looked = time.monotonic()

    @contextmanager
    def swapping(self, pipeline: Pipeline) -> Iterator[None]:
        with self._one_at_a_time:
            if self.settings.act == "on":
                self._carry_out([RollBack(True, ""), *(Path(key, "normal", "") for key in self._there.held)])
            self._memory, self._sight, self._carry_out = self._beginning(pipeline)
            yield

    def look(self, now: float) -> None:
        with self._one_at_a_time:
            seen = self._sight.see(self._read(now), self._there, self.ports.limits, self._failures)
            if seen is None:
                return
            self._memory, actions = self._controller.decide(self._memory, seen)
            self._failures = self._carry_out(actions) if self.settings.act == "on" else []
            said = [spelled(seen.time, action) for action in actions]
            said += [spelled_failure(seen.time, failure) for failure in self._failures]
            self._tell([{"look": self._memory.looks, **one} for one in said])

    def as_json(self) -> dict[str, Any]:
        return {"act": self.settings.act, "decided": self.log.count, "decisions": list(self.log.kept)}

    def _beginning(self, pipeline: Pipeline) -> tuple[Memory, Sight, CarryOut]:
        both = any(isinstance(state, FlowTable) and state.keys.both_ways for state in pipeline.state)
        carry_out = CarryOut(self._there, self.ports, both_ways=both)
        return self._controller.start(), Sight(self.ports.key, both_ways=both), carry_out

    def _read(self, now: float) -> Reading:
        packets = self._counted()
        flows = list(self.watches.flows(now - self._looked))
        self._looked = now
        return Reading(
            now - self._started, packets, [context.get("bytes_in") for context in self._contexts],
            self._busy(), self._missed(), self.watches.by_bucket(), flows,
            self.ports.counts() if self._there.held else {},
        )  # fmt: skip
