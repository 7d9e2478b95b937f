"""A bounded queue in front of an exporter, and the thread that empties it: what is behind it keeps nobody waiting.

At the end of a run, expired = exported + refused. Live, rows that find the queue full are refused; over a file,
whoever brings them waits, as long as somebody takes them at the other end.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Any

from burstline.errors import BurstlineError
from burstline.export.exporter import Exporter, exporter_of
from burstline.export.fault import Broken, Unreachable
from burstline.export.outlet_options import PATIENCE
from burstline.export.shape import Shape
from burstline.export.spelling import count, seconds, target

ROOM = 1 << 20  # rows in the queue
FIRST_WAIT, LONGEST_WAIT = 0.05, 5.0  # seconds between two tries to reach it
ROWS_AT_ONCE = 1 << 16


class Outlet:
    """One sink of one table. `begin`, `put` by one thread at a time, `close`; then it can begin again."""

    def __init__(self, spelled: str) -> None:
        self.target = target(spelled)
        self.exporter: Exporter = exporter_of(self.target)
        self.room = max(1, self.target.option("queue", count, ROOM))
        self.patience = self.target.option("patience", seconds, PATIENCE)
        self.failure: BurstlineError | None = None  # why it takes no more
        self.trouble = ""  # what went wrong last
        self.turned_away = 0  # rows that the queue had no room for
        self._queue: deque[Any] = deque()
        self._waiting = 0  # rows in the queue, and those that are being written
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = self._waits = False
        self._away: float | None = None  # since when there has been nobody at the other end
        self._resting = 0.0  # until when nobody is looked for, since it was given up

    @property
    def spelled(self) -> str:
        return self.target.spelled

    def begin(self, shape: Shape) -> None:
        """Start its thread, which inherits the calling one's cores."""
        if self._thread is None:
            self.exporter.prepare()
            self.failure, self.trouble, self.turned_away = None, "", 0
            self.exporter.exported = self.exporter.refused = self.exporter.pending = 0
            self._closing, self._away, self._resting = False, None, 0.0
            self._thread = threading.Thread(target=self._work, args=(shape,), name="flow export", daemon=True)
            self._thread.start()

    @property
    def has_begun(self) -> bool:
        return self._thread is not None

    def put(self, rows: Any, waits: bool) -> None:
        """Hand over rows, which are not changed any more. With `waits` until there is room for them."""
        for at in range(0, len(rows), ROWS_AT_ONCE):
            self._put(rows[at : at + ROWS_AT_ONCE], waits)

    def _put(self, rows: Any, waits: bool) -> None:
        with self._changed:
            self._waits = waits
            while waits and self._waiting and self._waiting + len(rows) > self.room:
                self._changed.wait()
            if self._waiting and self._waiting + len(rows) > self.room:
                self.turned_away += len(rows)
                return
            self._queue.append(rows)
            self._waiting += len(rows)
            self._changed.notify_all()

    def close(self) -> None:
        """Write what is left, and end. Raises nothing: `failure` and the counts tell."""
        if self._thread is None:
            return
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._thread = None

    def status(self) -> dict[str, Any]:
        """For reports and statistics; rows."""
        exporter = self.exporter
        return {
            "to": self.spelled,
            "exported": exporter.exported,
            "refused": exporter.refused + self.turned_away,
            "waiting": self._waiting + exporter.pending,
            "trouble": self.trouble,
            **exporter.detail,
        }

    # Its thread.

    def _work(self, shape: Shape) -> None:
        try:
            self.exporter.open(shape)
        except Exception as error:
            self._fail(error)
        while (rows := self._next()) is not None:
            if len(rows):
                self._write(rows)
        if self.failure is None:
            self._try(self.exporter.close)

    def _next(self) -> Any:
        """The next rows; an empty tuple when something else is due; None at the end."""
        with self._changed:
            if not self._queue and not self._closing:
                self._changed.wait(None if self.failure else self.exporter.due())
            if self._queue:
                return self._queue.popleft()
            if self._closing:
                return None
        self._try(self.exporter.tick)
        return ()

    def _write(self, rows: Any) -> None:
        exporter, wait, brought = self.exporter, FIRST_WAIT, len(rows)
        while self.failure is None and len(rows) and time.monotonic() >= self._resting:
            before = exporter.exported + exporter.refused + exporter.pending
            try:
                due = exporter.due()
                if due is not None and due <= 0:
                    exporter.tick()
                exporter.write(rows)
                rows, self._away = rows[:0], None
            except Unreachable as error:
                self.trouble = error.why
                if error.rest is not None:
                    rows = error.rest
                if exporter.exported + exporter.refused + exporter.pending > before:
                    wait, self._away = FIRST_WAIT, None
                self._away = self._away or time.monotonic()
                if not self._hold(wait, self._away):
                    self._resting = time.monotonic() + LONGEST_WAIT  # a try may take as long, and many batches may wait
                    break
                wait = min(2 * wait, LONGEST_WAIT)
            except Exception as error:
                self._fail(error)
                rows = rows[exporter.exported + exporter.refused + exporter.pending - before :]
        exporter.refused += len(rows)
        with self._changed:
            self._waiting -= brought
            self._changed.notify_all()

    def _hold(self, wait: float, since: float) -> bool:
        """Before another try. False when nobody was there for too long, and somebody waits for it."""
        until = time.monotonic() + wait * random.uniform(0.5, 1.0)
        with self._changed:
            while True:
                now = time.monotonic()
                if (self._closing or self._waits) and now - since > self.patience:
                    return False
                if now >= until:
                    return True
                self._changed.wait(min(until - now, 0.2))

    def _try(self, what: Any) -> None:
        try:
            what()
        except Unreachable as error:
            self.trouble = error.why
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """For good: all that comes is refused."""
        exporter = self.exporter
        exporter.refused += exporter.pending
        exporter.pending = 0
        with suppress(Exception):
            exporter.abort()
        if not isinstance(error, BurstlineError):
            said = (
                error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
            )
            error = Broken(f"{self.spelled}: {said}", "the report tells how many records are missing")
        self.trouble, self.failure = error.message, self.failure or error
