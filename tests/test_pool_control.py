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
        expected += [demand.forecast for demand in control.act([made.usage()], float(tick))]
        populated.append(made.count)
    taken = made.usage().cores[0].taken
    free(held)
    found = {"in_use": made.in_use, "populated": populated, "expected": expected, "taken": taken}
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
    assert alone(_unused) == (-1, {})


def _unused() -> tuple[int, Any]:
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.engine.pool_control import PoolControl

    eal.start(huge=False)
    made = MbufPool(600, data_room=256)
    (said,) = PoolControl([made], 1.0).act([made.usage()], 1.0)
    made.close()
    return said.forecast, said.cores


def _emptied(count: int) -> dict[str, Any]:
    """A core takes 600 buffers in each tick, and gives them back; then all that is in the depot is gone."""
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.dpdk.port import free
    from burstline.engine.pool_control import PoolControl
    from burstline.errors import BurstlineError

    eal.start(huge=False)
    made = MbufPool(count, data_room=256, cache=0)
    magazines, control = made.magazines, PoolControl([made], 1.0)
    said = []
    for tick in range(1, 20):
        free([made.new(b"x") for _ in range(600)])
        said += control.act([made.usage()], float(tick))
    misses = made.usage().misses
    gone = []
    for n in (magazines.rounds, 1):
        while len(some := magazines.take(magazines.control, n)):
            gone.append(some)
    own, got = magazines.count(0).cached, []
    try:
        while True:
            got.append(made.new(b"x"))
    except BurstlineError:
        pass
    found = {
        "demand": said[-1].cores, "rounds": magazines.rounds, "own": own, "got": len(got), "misses": misses,
        "fetched": made.usage().misses - misses, "reserve": magazines.count(0).from_reserve,
    }  # fmt: skip
    free(got)
    for some in gone:
        magazines.give(magazines.control, some)
    found["in_use"] = made.in_use
    made.close()
    return found


@pytest.mark.parametrize("count", [2000, 8000], ids=["small magazines", "magazines"])
def test_a_core_has_its_reserve_when_the_depot_is_empty(count: int) -> None:
    found = alone(_emptied, count)
    assert found["demand"] == {0: (600, 600)}, "what it took in a tick, and what was expected of that"
    assert (found["rounds"] == 264) == (count == 8000)
    assert found["got"] == found["own"] + 2 * found["rounds"]
    assert found["reserve"] >= found["fetched"] == 2
    assert found["misses"] > 0 and found["in_use"] == 0


def _guests() -> dict[str, Any]:
    """Threads that are no lcores take and give beside one that is."""
    import threading

    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk import eal
    from burstline.dpdk.binding import native
    from burstline.dpdk.port import free

    eal.start(huge=False)
    made = MbufPool(8000, data_room=256)
    kept: list[list[int]] = [[] for _ in range(4)]

    def work(mine: list[int]) -> None:
        for k in range(3000):
            mine.append(made.new(b"x"))
            if k % 3:
                free([mine.pop(k % len(mine))])

    threads = [threading.Thread(target=work, args=(mine,)) for mine in kept[1:]]
    for thread in threads:
        thread.start()
    work(kept[0])
    for thread in threads:
        thread.join()
    all_of_them = [mbuf for mine in kept for mbuf in mine]
    found = {
        "different": len(set(all_of_them)), "in_use": made.in_use,
        "cores": {core.core: core.taken - core.given for core in made.usage().cores}, "most": native.MAX_LCORE,
    }  # fmt: skip
    threading.Thread(target=free, args=(all_of_them,)).start()
    while made.in_use:
        pass
    made.close()
    return found


def test_threads_without_an_lcore_share_magazines_and_get_each_buffer_once() -> None:
    found = alone(_guests)
    assert found["different"] == found["in_use"] == 4 * 1000
    assert found["cores"] == {0: 1000, found["most"]: 3000}
