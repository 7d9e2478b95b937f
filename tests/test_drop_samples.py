"""Samples of drops, as those who ask for them share them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from burstline.engine import drop_samples
from burstline.engine.drop_samples import UNKNOWN, DropSamples
from burstline.engine.worker import PortWorker
from burstline.state.region import Block, Region


def test_a_worker_is_given_one_ring_by_however_many_ask_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one would free the first, which the worker writes to."""
    made: list[Region] = []

    def slowly(size: int) -> Region:
        time.sleep(0.02)
        made.append(Region(size))
        return made[-1]

    monkeypatch.setattr(drop_samples, "Region", slowly)
    samples = DropSamples([Block(PortWorker.layout)], lambda entry, number: "", lambda: 0)
    threads = [threading.Thread(target=samples.read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_how_many_a_sample_stands_for_outlives_a_swap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next version of the pipeline counts its drops from zero."""
    clock, dropped = [100.0], [0]
    now: Any = type("time", (), {"monotonic": staticmethod(lambda: clock[0])})
    monkeypatch.setattr(drop_samples, "time", now)
    samples = DropSamples([Block(PortWorker.layout)], lambda entry, number: "", lambda: dropped[0])
    samples.read()
    (ring, _) = samples._rings[0]
    found = []
    for drops in (40_000, 100, 40_100, 10**9):
        clock[0] += 1
        dropped[0] = drops
        samples.step()
        found.append(ring.get("every"))
    assert found == [2000, 2000, 2000, UNKNOWN - 1]
