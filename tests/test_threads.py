"""Workers' threads end before their run does, whenever it is interrupted."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pytest

from burstline.engine import threads
from burstline.engine.threads import Team

if not hasattr(signal, "pthread_sigmask"):
    pytest.skip("signals cannot be held here", allow_module_level=True)


def blocked() -> set[int]:
    return signal.pthread_sigmask(signal.SIG_BLOCK, ()) & {signal.SIGINT, signal.SIGTERM}


def run(tick: Callable[[], None]) -> tuple[bool, list[str]]:
    """Two workers that end when they are told to; whether they were, and what happened."""
    end, happened = threading.Event(), list[str]()

    def work(index: int) -> None:
        assert not blocked(), "what a worker starts can be interrupted"
        assert end.wait(60)
        happened.append("ended")

    def stop() -> None:
        happened.append("stop")
        end.set()

    return Team(2, work).run(stop, tick, None, lambda: 0.01), happened


def test_an_interrupt_while_workers_start_stops_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_off = threads.keep_off

    @contextmanager
    def interrupted(cores: Sequence[int]) -> Iterator[None]:
        signal.raise_signal(signal.SIGINT)  # the workers run, and nobody waits for them yet
        with keep_off(cores):
            yield

    monkeypatch.setattr(threads, "keep_off", interrupted)
    assert run(lambda: None) == (True, ["stop", "ended", "ended"])
    assert not blocked()


def test_an_interrupt_while_they_run_stops_them() -> None:
    once = iter([signal.SIGINT])

    def interrupt() -> None:
        for number in once:
            signal.raise_signal(number)

    assert run(interrupt) == (True, ["stop", "ended", "ended"])


def test_a_second_interrupt_ends_a_handler_that_does_not_return() -> None:
    once = iter([signal.SIGINT])

    def handle() -> None:
        for number in once:
            while True:
                signal.raise_signal(number)

    assert run(handle) == (True, ["stop", "ended", "ended"])
