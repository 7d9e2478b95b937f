"""What happened in a run, for people who look on: swaps, changes of rules, warnings. The last ones are kept."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

KEPT = 64


@dataclass(frozen=True)
class Event:
    """`time` in seconds since the epoch; `number` counts from 1 in a run; `kind` is start, swap, rules, steering,
    buffers, measure or warning."""

    number: int
    time: float
    kind: str
    text: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Events:
    """The last of them; `sinks` are handed each, in the thread in which it happened."""

    def __init__(self) -> None:
        self.sinks: list[Callable[[Event], None]] = []
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._count = 0
        self._lock = threading.Lock()

    def tell(self, kind: str, text: str) -> None:
        """Any thread may call it."""
        with self._lock:
            self._count += 1
            event = Event(self._count, time.time(), kind, text)
            self._kept.append(event)
        for sink in self.sinks:
            with suppress(OSError):  # who is told may be gone, and the run goes on
                sink(event)

    def as_json(self) -> list[dict[str, Any]]:
        return [event.as_json() for event in list(self._kept)]
