"""Counters add up over packets, stages and workers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import burstline as bl
from both_modes import run_both, stage_of

HITS, BYTES = bl.Counter("hits"), bl.Counter("bytes")
UNCOUNT = "def uncount(pkt):\n    if pkt.length & 1:\n        hits.add(-2)\n    octets.add(True)"
COUNT = bl.Pipeline(
    stage_of("def count(pkt):\n    hits.add()\n    octets.add(pkt.length)", hits=HITS, octets=BYTES),
    stage_of(UNCOUNT, hits=HITS, octets=BYTES),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.binary(max_size=50), max_size=50), st.sampled_from([1, 2]))
def test_counters_are_the_sum_over_packets_stages_and_workers(packets: list[bytes], workers: int) -> None:
    state = run_both(COUNT, packets, workers=workers).equal().state
    assert state["Counter 0"] == sum(-1 if len(p) & 1 else 1 for p in packets)
    assert state["Counter 1"] == sum(len(p) + 1 for p in packets)


def test_a_counter_is_a_number_with_a_name() -> None:
    counter = bl.Counter("hits")
    counter.add()
    counter.add(41)
    assert (counter.value, int(counter), repr(counter)) == (42, 42, "Counter('hits': 42)")
    counter.reset()
    assert counter.value == 0
    fraction: Any = 1.5
    with pytest.raises(TypeError):
        counter.add(fraction)
