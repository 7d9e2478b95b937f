"""What controllers beside live ports have in common: a thread looks at what workers counted again and again, and
decides."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

from burstline.engine.steered import Steered
from burstline.engine.threads import keep_off
from burstline.engine.traffic_watch import TrafficWatches
from burstline.errors import BurstlineError
from burstline.pipeline.pipeline import Pipeline
from burstline.state.region import Block
from burstline.steering.control.decision_log import DecisionLog, lines_of

REST = 0.2  # of a look: so long the thread sleeps at least, however late it is


class Looking(Protocol):
    """The settings that all have."""

    @property
    def act(self) -> str: ...

    @property
    def log(self) -> str | None: ...

    @property
    def look(self) -> float: ...


class LiveController(ABC):
    """Steers `ports` between entering and leaving the block, unless it is a dry run. `cores` are those of the workers,
    which the thread keeps off where there are others; `missed` tells what queues had no room for; `say` is handed each
    decision in two lines. Workers have the numbers of their queues.

    What goes wrong becomes one of `warnings`, and nothing is changed from then on.
    """

    name: str

    def __init__(
        self,
        settings: Looking,
        ports: Steered,
        cores: Sequence[int],
        missed: Callable[[], int],
        say: Callable[[str], None] | None,
        source: str,
    ) -> None:
        self.ports, self.warnings = ports, list[str]()
        self.watches = TrafficWatches(
            len(cores), ports.key, len(ports.reta), trusted=ports.hashed, window=settings.look
        )
        about = {"source": source, "workers": len(cores), "back_end": ports.name, "act": settings.act}
        self.log = DecisionLog(settings.log, {**about, "look": settings.look, "buckets": len(ports.reta)})
        self._every, self._cores, self._missed, self._say = settings.look, cores, missed, say
        self._contexts: Sequence[Block] = ()
        self._packets = [0] * len(cores)
        self._hz, self._started = 1.0, 0.0
        self._one_at_a_time, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    @abstractmethod
    def look(self, now: float) -> None:
        """At `now`, of `time.monotonic`. Raises BurstlineError."""

    @abstractmethod
    def swapping(self, pipeline: Pipeline) -> AbstractContextManager[None]:
        """While the block swaps the pipeline and its rules, nothing is changed; afterwards it begins anew. What was
        changed is taken back before, since the rules of the new pipeline come in place of all."""

    @abstractmethod
    def as_json(self) -> dict[str, Any]:
        """For the report: how many decisions, and the last of them."""

    def attach(self, contexts: Sequence[Block], hz: float) -> None:
        """Have the workers of these contexts, which have not begun, note what they see; `hz` is that of `cycles`."""
        self._contexts, self._hz = contexts, hz
        for context, block in zip(contexts, self.watches.blocks, strict=True):
            context.set(watch=block.address)

    def __enter__(self) -> Self:
        self._started = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        self._stop.set()
        self._thread.join()
        self.log.__exit__(None, None, None)

    def end(self) -> None:
        """Look no more."""
        self._stop.set()

    def _counted(self) -> list[int]:
        """Packets of each worker so far; the watches are told how many came since the last look."""
        packets = [context.get("packets_in") for context in self._contexts]
        self.watches.draw([count - before for count, before in zip(packets, self._packets, strict=True)])
        self._packets = packets
        return packets

    def _busy(self) -> list[float]:
        """Seconds of each worker."""
        return [cycles / self._hz for cycles in self.watches.busy()]

    def _tell(self, decisions: list[dict[str, Any]]) -> None:
        if not decisions:
            return
        self.log.add(decisions)
        for one in decisions if self._say else ():
            assert self._say
            self._say("\n".join(lines_of(one)))

    def _run(self) -> None:
        due = time.monotonic() + self._every
        with keep_off(self._cores):
            while not self._stop.wait(max(REST * self._every, due - time.monotonic())):
                due = max(due + self._every, time.monotonic())
                try:
                    self.look(time.monotonic())
                except Exception as error:  # packets go on as they are steered now
                    what = error.message if isinstance(error, BurstlineError) else f"{type(error).__name__}: {error}"
                    self.warnings.append(f"the {self.name} stopped: {what}")
                    return
