"""RETA by weights, with few moves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.errors import UsageError
from burstline.steering.reta import differences, moves, shares


@given(st.lists(st.integers(0, 5), min_size=1, max_size=64), st.lists(st.floats(0, 9), min_size=1, max_size=6))
def test_weights_become_shares_with_as_few_moves_as_can_be(present: list[int], weights: list[float]) -> None:
    if sum(weights) <= 0:
        with pytest.raises(UsageError):
            shares(weights, len(present))
        return
    wanted = shares(weights, len(present))
    assert sum(wanted) == len(present)
    assert all(abs(got - len(present) * w / sum(weights)) < 1 for got, w in zip(wanted, weights, strict=True))
    after, made = list(present), moves(present, weights)
    for bucket, queue in made:
        assert after[bucket] != queue
        after[bucket] = queue
    assert [after.count(queue) for queue in range(len(weights))] == wanted
    too_many = sum(max(present.count(q) - (wanted[q] if q < len(wanted) else 0), 0) for q in range(6))
    assert len(made) == too_many, "each move brings one bucket from a queue with too many to one with too few"


def test_differences_are_those_of_two_tables() -> None:
    assert differences([0, 1, 2, 3], [0, 2, 2, 0]) == [(1, 2), (3, 0)]
    with pytest.raises(UsageError, match="a RETA of 2 entries"):
        differences([0, 1, 2], [0, 1])
