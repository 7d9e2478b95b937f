"""Threads that are no workers are kept on some CPUs, and have their own again, unless somebody else has moved them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from burstline.engine.placement.other_threads import Kept, others

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="there is one CPU, or the system tells no affinity")


@pytest.fixture
def thread() -> Iterator[int]:
    """The number of a thread that waits."""
    begun, end, tids = threading.Event(), threading.Event(), list[int]()

    def wait() -> None:
        tids.append(threading.get_native_id())
        begun.set()
        end.wait()

    waiting = threading.Thread(target=wait, name="waits")
    waiting.start()
    begun.wait()
    yield tids[0]
    end.set()
    waiting.join()


def but(tid: int) -> set[int]:
    return {number for number, _, _ in others(())} - {tid}


def test_they_are_kept_and_put_back(thread: int) -> None:
    kept = Kept()
    kept.keep_on(CPUS[:1], but(thread))
    assert os.sched_getaffinity(thread) == {CPUS[0]}
    kept.keep_on(CPUS[1:2], but(thread))
    assert os.sched_getaffinity(thread) == {CPUS[1]}
    kept.restore()
    assert os.sched_getaffinity(thread) == {*CPUS}


def test_one_that_was_moved_by_somebody_else_stays_there(thread: int) -> None:
    os.sched_setaffinity(thread, {CPUS[0]})  # as a run's own thread does while it watches its workers
    kept = Kept()
    kept.keep_on(CPUS[1:2], but(thread))
    os.sched_setaffinity(thread, CPUS)
    kept.restore()
    assert os.sched_getaffinity(thread) == {*CPUS}
