"""The burst follows the load: it grows while ports bring full ones, and shrinks where most of it stays empty."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from burstline.engine.burst_size import LEAST, LOOKS, MOST, adapt
from burstline.engine.config import Engine


def worker(batch: int = LEAST) -> Any:
    return SimpleNamespace(batch=batch, most=MOST, bursts=0, filled=0)


def under(load: int, worker: Any, bursts: int) -> list[int]:
    """A port that has `load` packets each time; the size after each burst."""
    sizes = []
    for _ in range(bursts):
        adapt(worker, min(load, worker.batch))
        sizes.append(worker.batch)
    return sizes


def test_a_port_with_more_than_fits_gets_the_largest_burst_and_a_quiet_one_the_smallest() -> None:
    busy = worker()
    assert under(1000, busy, 4 * LOOKS)[-1] == MOST
    assert under(3, busy, 4 * LOOKS)[-1] == LEAST


@given(st.integers(1, 400), st.sampled_from([32, 64, 128, 256]))
def test_under_a_steady_load_the_size_settles_and_stays(load: int, start: int) -> None:
    sizes = under(load, worker(start), 40 * LOOKS)
    assert all(LEAST <= size <= MOST for size in sizes)
    assert len(set(sizes[20 * LOOKS :])) == 1
    settled = sizes[-1]
    assert min(load, settled) * 4 >= settled or settled == LEAST
    assert min(load, settled) * 4 < settled * 3 or settled == MOST


@given(st.lists(st.integers(1, 256), min_size=LOOKS, max_size=20 * LOOKS))
def test_it_is_never_outside_its_bounds_and_moves_one_step_at_a_time(loads: list[int]) -> None:
    one, sizes = worker(), [LEAST]
    for load in loads:
        sizes += under(load, one, 1)
    for before, after in itertools.pairwise(sizes):
        assert after in (before, before * 2, before // 2) and LEAST <= after <= MOST


def test_a_size_that_is_set_stays_as_it_is_set() -> None:
    assert (Engine().most_burst, Engine(burst=64).most_burst) == (MOST, 64)
