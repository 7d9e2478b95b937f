"""The buffers bench: all pools do the same work and lose nothing, and its figures are what they are said to be."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks import buffers
from benchmarks.harness import elastic, forecast_errors, install, loads, memory_held
from burstline import dpdk
from burstline.buffers.magazines import Magazines
from burstline.cli.bench import Options, Row
from burstline.errors import BurstlineError
from dpdk_live import alone

needs_dpdk = pytest.mark.skipif(
    not dpdk.available() or install.c_compiler() is None or install.package_flags("libdpdk") is None,
    reason="needs DPDK and a C compiler",
)
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
COUNT = 1 << 14  # buffers: each goes round twice


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the C loop is compiled, once."""
    return tmp_path_factory.mktemp("bench")


def small() -> None:
    """Loads and lists of frames that take no time, in this process."""
    elastic.QUICK_TICKS, elastic.FIRST = 100, 20
    memory_held.FRAMES, memory_held.QUICK_TICKS = 2000, 8
    forecast_errors.TICKS = 8 * 500


def c_loop(cache: Path) -> tuple[ModuleType, Any]:
    """pool_loop and its C loop, in a process where DPDK runs."""
    from burstline.dpdk import eal

    eal.start(huge=False)
    from benchmarks.harness import pool_loop as made

    return made, made.Loop(ctypes.CDLL(str(install.shared_library("buffers", cache, needs="libdpdk"))))


def over_two_cores(cache: Path) -> list[tuple[str, int, int]]:
    """Of each kind of pool: what it still has after all that was taken came back, and what it should have."""
    from burstline.buffers.mbuf_pool import MbufPool
    from burstline.dpdk.pool import Pool

    made, loop = c_loop(cache)
    cores = made.two_cores()
    found = []
    for name, pool in (("ring", Pool(made.BUFFERS)), ("stack", Pool(made.BUFFERS, ops="stack"))):
        for burst in (32, 256):
            assert loop.two(loop.mempool(pool), COUNT, burst, cores) > 0
        found.append((name, pool.available, made.BUFFERS))
    own = MbufPool(made.BUFFERS)
    for burst in (256, 32):
        assert loop.two(loop.mempool(own), COUNT, burst, cores) > 0
    found.append(("ours as mempool ops", own.available, made.BUFFERS))
    for burst in (32, 256):
        side = loop.ours(same_core=False)
        assert loop.two(side, COUNT, burst, cores) > 0
        moved = 64 * side.transfers() / COUNT
        assert 0 < moved <= 1, moved  # they do come from the other core, and not one by one
    return found


def whole_again(cache: Path) -> int:
    """The buffers that our pool hands out after both cores had them, each once."""
    made, loop = c_loop(cache)
    pools: list[Magazines] = []
    wanted = made.Magazines

    def kept(*arguments: int) -> Magazines:
        pools.append(wanted(*arguments))
        return pools[-1]

    made.Magazines = kept
    side = loop.ours(same_core=False)
    loop.two(side, COUNT, 32, made.two_cores())
    (pool,) = pools
    for core in range(2):
        pool.hand_in(core)
    assert pool.count(0).taken == pool.count(1).given == COUNT
    found = pool.take(0, made.BUFFERS)
    assert sorted(found) == [made.START + made.BYTES * k for k in range(made.BUFFERS)]
    return len(found)


def loses(cache: Path) -> str:
    """What is said of a pool that does not get back what was taken."""
    made, loop = c_loop(cache)
    whole = loop.ours(same_core=True)
    broken = made.Side(whole.take, whole.taker, loop.nothing().give, 0, whole.in_use)
    try:
        loop.one(broken, 1024, 32)
    except BurstlineError as error:
        return str(error)
    return ""


@needs_dpdk
@needs_two_cores
def test_all_pools_have_their_buffers_back_after_two_cores_had_them(cache: Path) -> None:
    for name, left, should in alone(over_two_cores, cache):
        assert left == should, name


@needs_dpdk
@needs_two_cores
def test_buffers_that_went_from_core_to_core_are_those_that_there_were(cache: Path) -> None:
    assert alone(whole_again, cache) == 8191


@needs_dpdk
def test_a_pool_that_loses_buffers_gets_no_figure(cache: Path) -> None:
    assert "1024 buffers are not back" in alone(loses, cache)


def rows_of(cache: Path, burst: bool, plot: Path | None) -> tuple[list[Row], list[str], list[str]]:
    """All rows, what is missing, and what failed, with inputs that take no time."""
    if dpdk.available():
        from burstline.dpdk import eal

        eal.start(huge=False)
    small()
    options = Options("buffers", quick=True, burst=burst, plot=plot, cache=cache, say=lambda text: None)
    rows = list(buffers.run(options))
    return rows, [lack.peer for lack in options.missing], options.failures


@needs_dpdk
@needs_two_cores
def test_each_comparison_that_is_promised_has_a_row(cache: Path) -> None:
    rows, missing, failures = alone(rows_of, cache, False, None)
    assert (missing, failures) == ([], [])
    found = {(row.case, row.peer) for row in rows}
    assert len(found) == len(rows)
    for cores in ("two cores", "one core"):
        for burst in (32, 256):
            case = f"{cores}, bursts of {burst}"
            assert {peer for of, peer in found if of == case} == {
                "rte_mempool, ring", "rte_mempool, stack", "ours as mempool ops", "the loop alone"
            }  # fmt: skip
            assert (f"{case}: shared-line transfers", "1 for 64 buffers") in found
    for mix in memory_held.MIXES:
        assert {peer for case, peer in found if case == f"memory held, {mix}"} == {"9 KB buffers", "clairvoyant"}
    assert {peer for case, peer in found if case == "memory held over time"} == {"9 KB buffers", "clairvoyant"}
    for load in (*loads.LOADS, "all loads"):
        assert (f"forecast, {load}: WAPE", "last value") in found
        assert (f"forecast, {load}: WAPE", "moving average") in found
    for load in loads.LOADS:
        assert (f"{load}: failed", "static pool") in found
        assert (f"{load}: memory", "peak") in found
    for row in rows:
        assert row.ours >= 0 and row.bench == "buffers"


def test_burst_measures_only_what_is_under_loads_and_plot_draws_it(cache: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows, _, failures = alone(rows_of, cache, True, tmp_path / "pictures")
    assert failures == []
    assert not [row.case for row in rows if "core" in row.case.split(",")[0] or "memory held" in row.case]
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["buffers-diurnal-flash-crowds.svg", "buffers-ramps.svg", "buffers-self-similar.svg"]
    for picture in pictures:
        root = ElementTree.parse(tmp_path / "pictures" / picture).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"


def test_pictures_without_matplotlib_are_refused_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.harness import plots

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(BurstlineError, match="Matplotlib") as caught:
        plots.draw(elastic.Done("x", np.ones(4), np.zeros(4)), tmp_path)
    assert "pip install" in str(caught.value.hint)


@pytest.mark.parametrize("n", [1, 63, 64, 700, 5000])
def test_a_worker_fails_by_as_many_buffers_as_its_pool_has_too_few(n: int) -> None:
    load = np.array([0, 1, 64, 65, 4000, 300, 700, 701, 0, 5000, 4999, 12])
    pool, failures = Magazines(5000, 1), np.full(len(load), -1)
    pool.add((1 << 40) + 64 * np.arange(n))
    elastic.follow(pool, load, failures, 0)
    assert failures.tolist() == np.maximum(0, load - n).tolist()
    assert pool.in_use == 0
    taken = held = 0
    for wanted in np.minimum(load, n).tolist():
        held -= held // 4
        taken += max(0, wanted - held)
        held = wanted
    assert pool.count(0).taken == taken


def test_a_pool_under_a_load_has_what_it_gave_and_is_seen_all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "QUICK_TICKS", 100)
    monkeypatch.setattr(elastic, "FIRST", 20)
    made: list[Any] = []
    size_class = elastic.SizeClass
    monkeypatch.setattr(elastic, "SizeClass", lambda *of: made.append(size_class(*of)) or made[-1])
    done = elastic.run_load("self-similar", quick=True)
    (pool,) = made
    assert pool.in_use == 0
    assert pool.magazines.count(0).taken == pool.magazines.count(0).given > 0
    times = [look[0] for look in done.looks]
    assert times == sorted(times) and times[0] < 100
    assert all(elastic.START <= look[1] <= pool.most for look in done.looks)
    assert (done.load - done.failures).max() <= max(look[1] for look in done.looks)


def test_memory_is_averaged_over_time_not_over_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "FIRST", 10)
    load = np.zeros(100, np.int64)
    looks = [(0.0, 9999, 0, 0), (5.0, 100, 0, 0), (30.0, 400, 0, 0), (31.0, 400, 0, 0), (40.0, 200, 0, 0)]
    done = elastic.Done("x", load, np.zeros(100), looks)
    assert done.mean_populated == pytest.approx((20 * 100 + 10 * 400 + 60 * 200) / 90)
    assert done.mean_memory == pytest.approx(done.mean_populated * elastic.SIZE)


def test_the_static_pool_has_as_much_memory_as_ours_had_on_average(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(elastic, "FIRST", 2)
    load = np.array([10, 900, 100, 900, 500, 1000])
    done = elastic.Done("x", load, np.zeros(6), [(0.0, 800, 0, 0), (4.0, 400, 0, 0)])
    assert done.mean_populated == 600
    assert elastic.static_failures(done) == 300 + 400


def test_frames_of_one_size_take_the_same_memory_in_all_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_held, "FRAMES", 2000)
    monkeypatch.setitem(memory_held.MIXES, "jumbo", {9216: 1})
    found = memory_held.held("jumbo")
    assert found.clairvoyant == 2000 * 9216
    assert found.ours == found.single
    assert 1 < found.ours / found.clairvoyant < 1.1


def test_memory_for_frames_that_were_not_foreseen_is_counted() -> None:
    pool = memory_held.PacketDataPool([64, 9216], buffers={64: 100, 9216: 1}, most=500)
    before = pool.memory
    filled = memory_held._filled(pool, [64] * 100 + [9000] * 50)
    assert filled >= before + 49 * 9216
    assert pool.in_use == 0


def test_memory_over_time_is_that_of_the_pools_beside_the_frames_that_are_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Frames of one size, as many all the time."""
    monkeypatch.setitem(memory_held.MIXES, "small", {640: 1})
    monkeypatch.setattr(memory_held, "QUICK_TICKS", 12)
    monkeypatch.setattr(memory_held, "LOADS", {"diurnal, flash crowds": lambda ticks: np.full(ticks, 250.0)})
    found = memory_held.held_over_time("small", quick=True)
    assert found.clairvoyant == 2000 * 640
    assert 2000 * 640 + 9216 < found.ours < found.single
    assert found.single > 2000 * 9216


def test_errors_are_those_of_what_was_forecast_50_ms_before() -> None:
    load, horizon, seen = loads.LOADS["self-similar"](900), forecast_errors.HORIZON, forecast_errors.SEEN
    sums = forecast_errors._sums(forecast_errors.LastValue(), load)
    then, now = load[seen:-horizon], load[seen + horizon :]
    assert sums == pytest.approx(
        [
            np.abs(now - then).sum(),
            sum(19 * (b - a) if b > a else a - b for a, b in zip(then, now, strict=True)) / 20,
            now.sum(),
        ]
    )


def test_loads_are_the_same_each_time_and_ramps_are_tenfold_within_50_ms() -> None:
    for load in loads.LOADS.values():
        assert load(3000).tolist() == load(3000).tolist()
        assert load(3000).min() > 0
    ramps = loads.LOADS["ramps"](4000)
    up = np.flatnonzero((ramps[1:] >= 5000) & (ramps[:-1] < 5000))
    assert len(up) >= 9
    within = round(0.05 / loads.TICK)
    for at in up:
        assert ramps[at + within] > 8 * ramps[at - within]


def test_the_self_similar_load_has_the_hurst_parameter_of_its_sources() -> None:
    """By the variance of means over m ticks, which falls as m**(2H - 2) (J. Beran, "Statistics for Long-Memory
    Processes", section 4.4)."""
    load = np.concatenate([loads.self_similar(20_000, seed) for seed in range(4)]).reshape(4, -1)
    lengths = np.array([200, 400, 800, 1600])  # ticks: longer than most of the on and off times
    spread = [np.mean([row[: len(row) // m * m].reshape(-1, m).mean(1).var() for row in load]) for m in lengths]
    slope = np.polyfit(np.log(lengths), np.log(spread), 1)[0]
    assert 0.6 < 1 + slope / 2 < 0.95
