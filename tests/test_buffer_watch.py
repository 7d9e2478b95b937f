"""What is told of a run's buffers: by class and core, beside what was expected."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import burstline as bl
from burstline.buffers.usage import ClassUsage, CoreUsage, Demand
from burstline.engine.buffer_watch import BufferWatch
from burstline.engine.report import buffer_lines


def seen(in_use: int) -> ClassUsage:
    core = CoreUsage(2, taken=500, given=500 - in_use, cached=20, failed=3, transfers=4, misses=5)
    return ClassUsage(2048, 0, 900, 800, in_use, 20, 780 - in_use, cores=[core])


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not there():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_was_seen_stands_beside_what_was_expected_by_class_and_core() -> None:
    loads, shown = [100, 400, 50], list[Sequence[ClassUsage]]()

    def act(usage: Sequence[ClassUsage], now: float) -> list[Demand]:
        return [Demand(120, {2: (300, 310)})]

    watch = BufferWatch(
        lambda: [seen(loads.pop(0) if len(loads) > 1 else loads[0])], period=0.001, act=act, show=shown.append,
        interval=1e-9,
    )  # fmt: skip
    with watch:
        until(lambda: len(shown) > 3)
    first, last = shown[0][0], watch.usage()[0]
    assert (first.peak, first.forecast, first.cores[0].forecast) == (100, -1, -1)
    assert (last.in_use, last.peak, last.forecast) == (50, 400, 120)
    assert (last.cores[0].took, last.cores[0].forecast) == (300, 310)
    found = last.as_json()
    assert {name: found[name] for name in ("taken", "failed", "misses", "transfers")} == {
        "taken": 500, "failed": 3, "misses": 5, "transfers": 4,
    }  # fmt: skip
    assert found["cores"][0] == {
        "core": 2, "taken": 500, "given": 450, "cached": 20, "failed": 3, "transfers": 4, "misses": 5, "took": 300,
        "forecast": 310,
    }  # fmt: skip
    assert buffer_lines([found]) == [
        "buffers of 2,048 bytes: 50 of 800 in use (at most 400, 120 expected), 20 in caches, 730 in the depot; "
        "5 misses, 3 not to be had"
    ]


def test_where_a_run_cannot_be_shown_that_is_told_once_and_pools_are_changed_still() -> None:
    calls = list[float]()

    def act(usage: Sequence[ClassUsage], now: float) -> list[Demand]:
        calls.append(now)
        return [Demand(120, {})]

    def show(usage: Sequence[ClassUsage]) -> None:
        raise OSError(19, "No such device")

    watch = BufferWatch(lambda: [seen(1)], period=0.001, act=act, show=show, interval=1e-9)
    with watch:
        until(lambda: bool(watch.warnings))
        before = len(calls)
        until(lambda: len(calls) > before + 2)
    assert watch.warnings == ["the run is not shown any more: [Errno 19] No such device"]


def test_where_pools_cannot_be_changed_that_is_told_once_and_they_are_looked_at_still() -> None:
    calls = list[float]()

    def act(usage: Sequence[ClassUsage], now: float) -> list[Demand]:
        calls.append(now)
        raise bl.BurstlineError("no memory")

    watch = BufferWatch(lambda: [seen(len(calls))], period=0.001, act=act)
    with watch:
        until(lambda: bool(watch.warnings))
    assert len(calls) == 1
    assert watch.warnings == ["buffers stay as they are: no memory"]
    assert watch.usage()[0].in_use == 1
