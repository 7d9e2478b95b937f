"""Ctrl-C, and SIGTERM where it means the same: a run ends between packets, never within one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Signals that raise KeyboardInterrupt, but not in the middle of what must stay whole: a packet and its count, a
    batch of digests and its handler. A second one does not wait, since a stage or a handler may never return."""

    def __init__(self) -> None:
        self.asked = False  # one waits
        self._whole = False  # within `whole`

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Around a run. Other threads than the main one get no signals, and are left alone."""
        mine = threading.current_thread() is threading.main_thread()
        numbers = [n for n in SIGNALS if mine and signal.getsignal(n) is signal.default_int_handler]
        try:
            for number in numbers:
                signal.signal(number, self._come)
            yield
        finally:
            for number in numbers:
                signal.signal(number, signal.default_int_handler)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Around what is not to be torn apart: what came meanwhile raises at its end."""
        self._whole = True
        try:
            yield
        finally:
            self._whole = False
        if self.asked:
            self.asked = False
            raise KeyboardInterrupt

    def _come(self, number: int, frame: FrameType | None) -> None:
        if self._whole and not self.asked:
            self.asked = True
        else:
            self.asked = False
            raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[Callable[[], None]]:
    """SIGINT and SIGTERM come to no thread that is started here until the value is called, or the block is left."""
    if not hasattr(signal, "pthread_sigmask"):
        yield lambda: None
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

    def release() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    try:
        yield release
    finally:
        release()


def release_interrupts() -> None:
    """In a process that was started while they were held."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
