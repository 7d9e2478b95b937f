"""The steering controller beside live ports: at each look it reads what workers noted, decides, and has that carried
out, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from burstline.engine.steered import Steered
from burstline.engine.threads import keep_off
from burstline.engine.traffic_watch import TrafficWatches
from burstline.errors import BurstlineError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.flow_table import FlowTable
from burstline.state.region import Block
from burstline.steering.control.actions import Path, RollBack
from burstline.steering.control.carry_out import CarryOut
from burstline.steering.control.controller import Controller
from burstline.steering.control.decision_log import DecisionLog, lines_of, spelled, spelled_failure
from burstline.steering.control.in_force import InForce
from burstline.steering.control.memory import Memory
from burstline.steering.control.settings import Settings
from burstline.steering.control.sight import Reading, Sight
from burstline.steering.control.snapshot import Failure

REST = 0.2  # of a look: so long the thread sleeps at least, however late it is


class LiveControl:
    """Steers `ports` between entering and leaving the block, unless it is a dry run. `cores` are those of the workers,
    which the thread keeps off where there are others; `missed` tells what queues had no room for; `say` is handed each
    decision in two lines. What it decides is about queues, which are numbered as workers are.

    What goes wrong becomes one of `warnings`, and nothing is changed from then on. Raises UsageError.
    """

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
        self.settings, self.ports, self.warnings = settings, ports, list[str]()
        self.watches = TrafficWatches(
            len(cores), ports.key, len(ports.reta), trusted=ports.hashed, window=settings.look
        )
        self._cores, self._missed, self._say = cores, missed, say
        about = {"source": source, "workers": len(cores), "back_end": ports.name, "act": settings.act}
        self.log = DecisionLog(settings.log, {**about, "look": settings.look, "buckets": len(ports.reta)})
        self._controller = Controller(settings)
        self._there = InForce(ports.reta)
        self._failures: list[Failure] = []
        self._memory, self._sight, self._carry_out = self._beginning(pipeline)
        self._contexts: Sequence[Block] = ()
        self._packets = [0] * len(cores)
        self._hz, self._started, self._looked = 1.0, 0.0, 0.0
        self._one_at_a_time = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="steering", daemon=True)

    def attach(self, contexts: Sequence[Block], hz: float) -> None:
        """Have the workers of these contexts, which have not begun, note what they see; `hz` is that of `cycles`."""
        self._contexts, self._hz = contexts, hz
        for context, block in zip(contexts, self.watches.blocks, strict=True):
            context.set(watch=block.address)

    def __enter__(self) -> LiveControl:
        self._started = self._looked = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._stop.set()
        self._thread.join()
        self.log.__exit__(None, None, None)

    @contextmanager
    def swapping(self, pipeline: Pipeline) -> Iterator[None]:
        """While the block swaps the pipeline and its rules, nothing is steered; afterwards it begins anew. What the
        controller had in force is taken back before, since the rules of the new pipeline come in place of all."""
        with self._one_at_a_time:
            if self.settings.act == "on":
                self._carry_out([RollBack(True, ""), *(Path(key, "normal", "") for key in self._there.held)])
            self._memory, self._sight, self._carry_out = self._beginning(pipeline)
            yield

    def end(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self, now: float) -> None:
        """At `now`, of `time.monotonic`. Raises BurstlineError."""
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
        """For the report: how many decisions, and the last of them."""
        return {"act": self.settings.act, "decided": self.log.count, "decisions": list(self.log.kept)}

    def _beginning(self, pipeline: Pipeline) -> tuple[Memory, Sight, CarryOut]:
        both = any(isinstance(state, FlowTable) and state.keys.both_ways for state in pipeline.state)
        carry_out = CarryOut(self._there, self.ports, both_ways=both)
        return self._controller.start(), Sight(self.ports.key, both_ways=both), carry_out

    def _read(self, now: float) -> Reading:
        packets = [context.get("packets_in") for context in self._contexts]
        self.watches.draw([count - before for count, before in zip(packets, self._packets, strict=True)])
        flows = list(self.watches.flows(now - self._looked))
        self._packets, self._looked = packets, now
        return Reading(
            now - self._started, packets, [context.get("bytes_in") for context in self._contexts],
            [cycles / self._hz for cycles in self.watches.busy()], self._missed(), self.watches.by_bucket(), flows,
            self.ports.counts() if self._there.held else {},
        )  # fmt: skip

    def _tell(self, decisions: list[dict[str, Any]]) -> None:
        if not decisions:
            return
        self.log.add(decisions)
        for one in decisions if self._say else ():
            assert self._say
            self._say("\n".join(lines_of(one)))

    def _run(self) -> None:
        look = self.settings.look
        due = time.monotonic() + look
        with keep_off(self._cores):
            while not self._stop.wait(max(REST * look, due - time.monotonic())):
                due = max(due + look, time.monotonic())
                try:
                    self.look(time.monotonic())
                except Exception as error:  # packets go on as they are steered now
                    what = error.message if isinstance(error, BurstlineError) else f"{type(error).__name__}: {error}"
                    self.warnings.append(f"the steering controller stopped: {what}")
                    return
