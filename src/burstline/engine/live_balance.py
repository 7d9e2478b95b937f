"""The balancer beside live ports: at each look it reads what workers counted, decides, and has buckets moved with their
flows, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from burstline.engine.balance_sight import BalanceSight, Counts
from burstline.engine.live_learning import LiveLearning
from burstline.engine.steered import Steered
from burstline.engine.threads import keep_off
from burstline.engine.traffic_watch import TrafficWatches
from burstline.errors import BurstlineError
from burstline.numa.balance.actions import Action, MoveGroup, Park
from burstline.numa.balance.balancer import Balancer
from burstline.numa.balance.places import Places
from burstline.numa.balance.settings import BalanceSettings
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block
from burstline.steering.control.decision_log import DecisionLog, lines_of
from burstline.steering.edit import MoveBuckets

REST = 0.2  # of a look: so long the thread sleeps at least, however late it is


class LiveBalance:
    """Balances between entering and leaving the block, unless it is a dry run. `cores` are those of the workers, which
    the thread keeps off where there are others; `missed` tells what queues had no room for, `records` how many moved;
    `say` is handed each decision in two lines. Groups are buckets, workers have the numbers of their queues.

    What goes wrong becomes one of `warnings`, and nothing is changed from then on.
    """

    def __init__(
        self,
        settings: BalanceSettings,
        places: Places,
        learning: LiveLearning,
        ports: Steered,
        cores: Sequence[int],
        *,
        missed: Callable[[], int] = lambda: 0,
        records: Callable[[], int] = lambda: 0,
        say: Callable[[str], None] | None = None,
        source: str = "",
    ) -> None:
        self.settings, self.ports, self.learning, self.warnings = settings, ports, learning, list[str]()
        self.watches = TrafficWatches(
            len(cores), ports.key, len(ports.reta), trusted=ports.hashed, window=settings.look
        )
        self.reta, self.parked = list(ports.reta), [False] * len(cores)
        about = {"source": source, "workers": len(cores), "back_end": ports.name, "act": settings.act}
        self.log = DecisionLog(settings.log, {**about, "look": settings.look, "buckets": len(ports.reta)})
        self.took: list[float] = []  # seconds, of each change
        self._cores, self._missed, self._records, self._say = cores, missed, records, say
        self._balancer = Balancer(places, settings)
        self._memory, self._sight = self._balancer.start(), BalanceSight()
        self._contexts: Sequence[Block] = ()
        self._hz, self._started, self._packets = 1.0, 0.0, [0] * len(cores)
        self._one_at_a_time, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="balancer", daemon=True)

    def attach(self, contexts: Sequence[Block], hz: float) -> None:
        """Have the workers of these contexts, which have not begun, note what they see; `hz` is that of `cycles`."""
        self._contexts, self._hz = contexts, hz
        for context, block in zip(contexts, self.watches.blocks, strict=True):
            context.set(watch=block.address)

    def __enter__(self) -> LiveBalance:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._stop.set()
        self._thread.join()
        self.log.__exit__(None, None, None)
        self.warnings += self.learning.close()

    @contextmanager
    def swapping(self, pipeline: Pipeline) -> Iterator[None]:
        """While the block swaps the pipeline, nothing moves; buckets go back before, as rules of the new pipeline come
        in place of all, and it begins anew afterwards."""
        with self._one_at_a_time:
            self._change({k: home for k, home in enumerate(self.ports.reta) if self.reta[k] != home})
            self._memory, self._sight = self._balancer.start(), BalanceSight()
            self.parked = [False] * len(self.parked)
            yield

    def end(self) -> None:
        """Look no more."""
        self._stop.set()

    def look(self, now: float) -> None:
        """At `now`, of `time.monotonic`. Raises BurstlineError."""
        with self._one_at_a_time:
            seen = self._sight.see(self._read(now), self.reta, self.parked, self.ports.limits.updates)
            if seen is None:
                return
            said = self.learning.look(seen, self._contexts)
            self._memory, actions = self._balancer.decide(self._memory, seen)
            if self.settings.act == "on":
                said += self._carry_out(actions, seen.time)
            self._tell([*said, *(_spelled(seen.time, action) for action in actions)])

    def as_json(self) -> dict[str, Any]:
        """For the report: how many decisions, and the last of them."""
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
        packets, polls, useful, batch = (
            [context.get(name) for context in self._contexts]
            for name in ("packets_in", "polls", "useful_polls", "batch")
        )
        counts = Counts(
            now - self._started, packets, [cycles / self._hz for cycles in self.watches.busy()], polls, useful,
            self._missed(), self.watches.by_bucket(), batch,
        )  # fmt: skip
        self.watches.draw([count - old for count, old in zip(packets, self._packets, strict=True)])
        self._packets = packets
        return counts

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
                except Exception as error:  # packets go on to the workers that have them now
                    what = error.message if isinstance(error, BurstlineError) else f"{type(error).__name__}: {error}"
                    self.warnings.append(f"the balancer stopped: {what}")
                    return


def _spelled(time: float, action: Action) -> dict[str, Any]:
    if isinstance(action, MoveGroup):
        about: dict[str, Any] = {"bucket": action.group, "worker": action.worker}
        words = f"move bucket {action.group} to worker {action.worker}"
    else:
        about = {"worker": action.worker}
        words = f"{type(action).__name__.lower()} worker {action.worker}"
    kind = "MoveBucket" if isinstance(action, MoveGroup) else type(action).__name__
    return {"time": time, "action": kind, "words": words, **about, "reason": action.reason}
