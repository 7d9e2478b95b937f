"""The balancer beside live ports: from what workers counted to buckets that are moved with their flows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from burstline.engine.balance_sight import BalanceSight, Counts
from burstline.engine.live_controller import LiveController
from burstline.engine.live_learning import LiveLearning
from burstline.engine.steered import Steered
from burstline.numa.balance.actions import Action, MoveGroup, Park
from burstline.numa.balance.balancer import Balancer
from burstline.numa.balance.places import Places
from burstline.numa.balance.settings import BalanceSettings
from burstline.pipeline.pipeline import Pipeline
from burstline.steering.control.decision_log import KEPT
from burstline.steering.edit import MoveBuckets


class LiveBalance(LiveController):
    """Groups are buckets; `records` tells how many flows moved so far, `places` where workers and groups are when
    distances count so many times, `learning` what is known of a pipeline's costs."""

    name = "balancer"

    def __init__(
        self,
        settings: BalanceSettings,
        places: Callable[[float], Places],
        learning: Callable[[Pipeline], LiveLearning],
        pipeline: Pipeline,
        ports: Steered,
        cores: Sequence[int],
        *,
        missed: Callable[[], int] = lambda: 0,
        records: Callable[[], int] = lambda: 0,
        say: Callable[[str], None] | None = None,
        source: str = "",
    ) -> None:
        super().__init__(settings, ports, cores, missed, say, source)
        self.settings, self.learning, self._learning = settings, learning(pipeline), learning
        self.reta, self.parked = list(ports.reta), [False] * len(cores)
        self.took: deque[float] = deque(maxlen=KEPT)  # seconds, of each of the last changes
        self._records, self._places, self._weight = records, places, self.learning.tuning.hop_weight
        self._balancer = Balancer(places(self._weight), settings)
        self._memory, self._sight = self._balancer.start(), BalanceSight()

    def __exit__(self, *what: object) -> None:
        super().__exit__(*what)
        self.warnings += self.learning.close()

    @contextmanager
    def swapping(self, pipeline: Pipeline) -> Iterator[None]:
        with self._one_at_a_time:
            self._change({k: home for k, home in enumerate(self.ports.reta) if self.reta[k] != home})
            self._memory, self._sight = self._balancer.start(), BalanceSight()
            self.parked = [False] * len(self.parked)
            yield
            before = self.learning
            self.warnings += before.close()
            self.learning = self._learning(pipeline)
            if before.acts:  # workers go on as they were told
                self.learning.tuning = replace(before.tuning, hop_weight=self.learning.tuning.hop_weight)

    def look(self, now: float) -> None:
        with self._one_at_a_time:
            seen = self._sight.see(self._read(now), self.reta, self.parked, self.ports.limits.updates)
            if seen is None:
                return
            said = self.learning.look(seen, self._contexts)
            if self.learning.acts and self.learning.tuning.hop_weight != self._weight:
                self._weight = self.learning.tuning.hop_weight
                self._balancer = replace(self._balancer, places=self._places(self._weight))
            self._memory, actions = self._balancer.decide(self._memory, seen)
            if self.settings.act == "on":
                said += self._carry_out(actions, seen.time)
            self._tell([*said, *(_spelled(seen.time, action) for action in actions)])

    def as_json(self) -> dict[str, Any]:
        took = sorted(self.took)
        return {
            "act": self.settings.act, "decided": self.log.count, "decisions": list(self.log.kept), "by": "balancer",
            "took": {"median": took[len(took) // 2], "longest": took[-1]} if took else {},
            "model": self.learning.as_json(),
        }  # fmt: skip

    def _carry_out(self, actions: Sequence[Action], time: float) -> list[dict[str, Any]]:
        """Returns what was refused. A worker that is parked has no packets, and sleeps between polls."""
        moves = [action for action in actions if isinstance(action, MoveGroup)]
        before = self._records()
        refused = self._change({move.group: move.worker for move in moves})
        self._sight.moved(0 if refused else len(moves), self._records() - before)
        for action in actions:
            if not isinstance(action, MoveGroup):
                self.parked[action.worker] = isinstance(action, Park)
                self.learning.park(self._contexts[action.worker], self.parked[action.worker])
        if not refused:
            return []
        words = f"refused: {len(moves)} bucket{'s' * (len(moves) != 1)}"
        return [{"time": time, "action": "Failure", "words": words, "reason": refused}]

    def _change(self, queues: Mapping[int, int]) -> str:
        """All of these buckets in one move; returns why that was refused."""
        if not queues:
            return ""
        began = time.monotonic()
        (done,) = self.ports.change([MoveBuckets(tuple(queues.items()))])
        self.took.append(time.monotonic() - began)
        if done.error is not None:
            return done.error.message
        for bucket, queue in queues.items():
            self.reta[bucket] = queue
        return ""

    def _read(self, now: float) -> Counts:
        polls, useful, batch = (
            [context.get(name) for context in self._contexts] for name in ("polls", "useful_polls", "batch")
        )
        return Counts(
            now - self._started, self._counted(), self._busy(), polls, useful, self._missed(),
            self.watches.by_bucket(), batch,
        )  # fmt: skip


def _spelled(time: float, action: Action) -> dict[str, Any]:
    if isinstance(action, MoveGroup):
        about: dict[str, Any] = {"bucket": action.group, "worker": action.worker}
        words = f"move bucket {action.group} to worker {action.worker}"
    else:
        about = {"worker": action.worker}
        words = f"{type(action).__name__.lower()} worker {action.worker}"
    kind = "MoveBucket" if isinstance(action, MoveGroup) else type(action).__name__
    return {"time": time, "action": kind, "words": words, **about, "reason": action.reason}
