"""Histograms: every value within the stated share of itself, in buckets that cover all numbers, in both modes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of
from burstline.errors import UsageError

quickly = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
VALUES = st.integers(0, 63).flatmap(lambda bits: st.integers(0, (1 << bits) - 1))
SIZES, FINE, COARSE = bl.Histogram("sizes"), bl.Histogram("fine", precision=0.0001), bl.Histogram("coarse", 0.5)
# The number of a packet's bytes, shifted by the last bits of the source, so that values of all sizes come up.
ADD = """
def add(pkt):
    SIZES.add(pkt.length)
    value = (pkt.eth.dst * 32749 + pkt.length) >> (pkt.eth.src & 63)
    FINE.add(value, 3)
    COARSE.add(value, pkt.length)
    COARSE.add(-value)
"""
PIPELINE = bl.Pipeline(stage_of(ADD, SIZES=SIZES, FINE=FINE, COARSE=COARSE))


@given(VALUES, st.sampled_from([0.5, 0.3, 0.1, 0.01, 0.001, 0.00001]))
def test_a_value_is_known_to_within_the_precision(value: int, precision: float) -> None:
    histogram = bl.Histogram("one", precision)
    histogram.add(value)
    ((low, high, count),) = histogram.counts()
    assert (histogram.min, histogram.max, histogram.count, histogram.sum, count) == (low, high, 1, value, 1)
    assert low <= value <= high
    assert abs(histogram.quantile(0.5) - value) <= precision * value


@pytest.mark.parametrize("precision", [0.5, 0.06, 0.01])
def test_the_buckets_cover_all_numbers_one_after_another(precision: float) -> None:
    histogram = bl.Histogram("all", precision)
    bounds = [histogram._bounds(number) for number in range(histogram.buckets)]
    assert bounds[0][0] == 0
    assert bounds[-1][1] == (1 << 63) - 1
    assert all(a[1] + 1 == b[0] for a, b in itertools.pairwise(bounds))


@given(st.lists(st.tuples(VALUES, st.integers(0, 5)), max_size=40), st.floats(0, 1))
def test_quantiles_are_those_of_the_sorted_values(added: list[tuple[int, int]], q: float) -> None:
    histogram = bl.Histogram("quantiles", 0.02)
    for value, n in added:
        histogram.add(value, n)
    values = sorted(value for value, n in added for _ in range(n))
    exact = values[int(q * (len(values) - 1))] if values else 0
    assert abs(histogram.quantile(q) - exact) <= 0.02 * exact
    assert (histogram.count, histogram.sum) == (len(values), sum(values))


@quickly
@given(st.lists(st.binary(min_size=12, max_size=40), max_size=50), st.sampled_from([1, 2]))
def test_compiled_they_are_the_same(packets: list[bytes], workers: int) -> None:
    run_both(PIPELINE, packets, workers=workers, out=None).equal()
    assert SIZES.count == len(packets)
    assert SIZES.sum == sum(map(len, packets))


def test_the_sum_of_large_values_is_exact() -> None:
    large = bl.Histogram("large")
    source = f"def add(pkt):\n    large.add({(1 << 63) - 1}, pkt.length)\n"
    run_both([stage_of(source, large=large)], [b"x" * 1000] * 20).equal()
    assert large.sum == ((1 << 63) - 1) * 20_000


def test_an_empty_one_and_wrong_parameters() -> None:
    empty = bl.Histogram("empty")
    assert (empty.count, empty.sum, empty.min, empty.max, empty.quantile(1), empty.counts()) == (0, 0, 0, 0, 0, [])
    assert repr(empty) == "Histogram('empty': 0 values)"
    for precision in (0, 1, -0.1, math.nan):
        with pytest.raises(UsageError, match="is out of range"):
            bl.Histogram("wrong", precision)
    with pytest.raises(UsageError, match=r"there is no quantile 1.5"):
        empty.quantile(1.5)
    fraction: Any = 1.5
    with pytest.raises(TypeError):
        empty.add(fraction)
