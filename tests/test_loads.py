"""The loads of benches are what their sources in the literature say: ramps, crowds and periods, counted in the load."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.harness import loads


@pytest.mark.parametrize("name", loads.LOADS)
def test_no_load_grows_or_dies_out(name: str) -> None:
    """The second half has about the mean and the spread of the first."""
    halves = loads.LOADS[name](16_000).reshape(2, -1)
    means, spreads = halves.mean(axis=1), halves.std(axis=1)
    assert 0.6 < means[1] / means[0] < 1.6
    assert 0.5 < spreads[1] / spreads[0] < 2.0


def test_ramps_come_every_two_seconds_but_never_quite() -> None:
    load = loads.ramps(40_000)
    high = load > 5 * loads.BASE
    begins = np.flatnonzero(high[1:] & ~high[:-1]) * loads.TICK
    gaps = np.diff(begins)
    assert len(begins) == 100 and abs(gaps.mean() - 2) < 0.005
    assert 0.004 < gaps.std() < 0.012  # two jitters of 5 ms, and the grid of ticks
    assert 0.15 < high.mean() < 0.22  # a third of a second, of two


def test_days_are_twenty_seconds_from_one_to_three() -> None:
    time = np.arange(4000) * loads.TICK
    day = loads.by_day(time)
    assert (day.min(), day.max()) == pytest.approx((1, 3))
    assert day[time == 10] == pytest.approx(3)
    load = loads.diurnal(8000)
    assert (load > 0.9 * loads.BASE * loads.by_day(np.arange(8000) * loads.TICK)).all()  # crowds only add


def test_a_crowd_is_there_within_a_fifth_of_a_second_and_wears_off_over_one() -> None:
    assert loads.crowd(np.array([-1.0, 0.0, 0.1, 0.2, 1.2])) == pytest.approx([0, 0, 0.5, 1, np.exp(-1)])


def test_crowds_come_as_chance_says_and_are_two_to_five_nights_high() -> None:
    found = list(loads.crowds(np.random.default_rng(9), 20_000))
    at, height = np.array(found).T
    assert abs(np.diff(at).mean() - 6) < 0.3  # one second, and an exponential of five
    assert np.diff(at).min() >= 1
    assert height.min() >= 2 and height.max() <= 5 and abs(height.mean() - 3.5) < 0.1


def test_periods_of_a_source_follow_one_another_and_have_the_tail_of_pareto() -> None:
    """Its exponent by the estimator of B. M. Hill ("A simple general approach to inference about the tail of a
    distribution", Annals of Statistics 3(5), 1975), from the least that each period can be."""
    found = list(loads.periods(np.random.default_rng(4), 2_000_000, loads.SHAPE))
    begins, ends, on = map(np.array, zip(*found, strict=True))
    assert (begins[1:] == ends[:-1]).all() and (on[1:] != on[:-1]).all()
    for state, least in ((True, loads.ON), (False, loads.OFF)):
        lengths = (ends - begins)[on == state] * loads.TICK
        assert lengths.min() >= least * (1 - 1e-6)
        assert abs(1 / np.log(lengths / least).mean() - loads.SHAPE) < 0.08


def hurst(shape: float) -> float:
    """By wavelets: the energy of Haar's details grows by 2**(2H - 1) from octave to octave (P. Abry and D. Veitch,
    "Wavelet analysis of long-range-dependent traffic", IEEE Transactions on Information Theory 44(1), 1998)."""
    energies = []
    for seed in range(6, 9):
        level, found = loads.self_similar(1 << 18, seed, shape=shape), []
        for _ in range(13):
            level, detail = (level[::2] + level[1::2]) / np.sqrt(2), (level[::2] - level[1::2]) / np.sqrt(2)
            found.append((detail**2).mean())
        energies.append(found)
    octaves = np.arange(8, 13)  # from 2.6 seconds on: longer than most periods
    slope = np.polyfit(octaves, np.log2(np.mean(energies, axis=0))[octaves], 1)[0]
    return float(slope + 1) / 2


def test_the_hurst_parameter_is_about_eight_tenths_and_falls_as_the_tail_gets_lighter() -> None:
    """What is measured at these lengths lies somewhat above what it tends to, (3 - shape) / 2."""
    assert 0.75 < hurst(loads.SHAPE) < 0.92
    assert hurst(2.5) < 0.65  # of finite variance: 0.5


def test_loads_of_sources_are_what_with_active_says() -> None:
    load = loads.self_similar(2000)
    active = (load / loads.BASE - 0.2) * loads.SOURCES / 4
    assert active == pytest.approx(np.round(active))
    assert active.min() >= 0 and active.max() <= loads.SOURCES
    assert loads.with_active(np.round(active)) == pytest.approx(load)
