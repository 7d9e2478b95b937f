"""What is done about pools of mbufs while a run goes on: they grow ahead of a load and shrink after it."""

from __future__ import annotations

from typing import Any

import pytest

from burstline import dpdk
from dpdk_live import alone, needs_root

pytestmark = [needs_root, pytest.mark.skipif(not dpdk.available(), reason="burstline was built without DPDK")]


def _ramp() -> dict[str, Any]:
    """A load that comes and goes, in ticks that are numbers; what the control did about it."""
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.dpdk.port import free
    from burstline.engine.pool_control import PoolControl

    eal.start(huge=False)
    made = MbufPool(600, most=6000, data_room=256, cache=0)
    control = PoolControl([made], 1.0)
    held: list[int] = []
    populated, expected = [], []
    for tick in range(1, 200):
        wanted = 100 if tick < 60 or tick > 110 else min(4000, 100 + 150 * (tick - 60))
        while len(held) < wanted:
            held.append(made.new(b"x"))
        free(held[wanted:])
        del held[wanted:]
        expected += control.act([made.usage()], float(tick))
        populated.append(made.count)
    reserved = sum(made.magazines.count(core).from_reserve for core in range(2))
    taken = made.usage().cores[0].taken
    free(held)
    found = {"in_use": made.in_use, "populated": populated, "expected": expected, "reserved": reserved, "taken": taken}
    made.close()
    return found


def test_a_pool_is_never_short_and_gives_back_what_a_ramp_needed() -> None:
    found = alone(_ramp)  # new() would raise where there was none
    populated = found["populated"]
    assert set(populated[:59]) == {600}  # what it began with is enough
    assert 4000 < max(populated) < 6000 + 3700  # whole chunks of 2 MiB
    assert populated[-1] < max(populated) - 2000
    assert found["in_use"] == 0
    assert found["taken"] >= 4000


def test_what_is_expected_is_near_what_comes() -> None:
    expected = alone(_ramp)["expected"]
    assert all(abs(said - 100) <= 5 for said in expected[10:58])
    assert max(expected) > 3500


def test_nothing_is_expected_of_a_pool_that_nobody_uses() -> None:
    assert alone(_unused) == [-1]


def _unused() -> list[int]:
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.engine.pool_control import PoolControl

    eal.start(huge=False)
    made = MbufPool(600, data_room=256)
    said = PoolControl([made], 1.0).act([made.usage()], 1.0)
    made.close()
    return said
