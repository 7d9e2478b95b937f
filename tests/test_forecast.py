"""Forecasters, against what they must expect of lines, steps and seasons, and against plain formulas."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.harness import forecast_errors, forecast_limits, loads
from burstline.buffers.forecast import DampedTrend, LastValue, MovingAverage
from burstline.buffers.mixture import PEAK, Mixture, mixture
from burstline.buffers.regression import Regression
from burstline.buffers.season import Seasonal, season_of
from burstline.buffers.switching_trend import CHANGES, STAY, SwitchingTrend

HORIZON = 4
LOADS = st.lists(st.integers(0, 10**7), min_size=1, max_size=60)
FORECASTERS: dict[str, Any] = {
    "last value": LastValue(),
    "moving average": MovingAverage(),
    "damped trend": DampedTrend(),
    "switching trend": SwitchingTrend(),
    "season": Seasonal(),
    "regression": Regression(HORIZON),
    "mixture": mixture(HORIZON),
}
everyone = pytest.mark.parametrize("name", FORECASTERS)


def after(forecaster: Any, load: Any) -> Any:
    for value in load:
        forecaster = forecaster.observe(float(value))
    return forecaster


def said_of(forecaster: Any, load: Any, horizon: int) -> Any:
    """What it says at each tick of the one `horizon` later."""
    said = []
    for value in load:
        forecaster = forecaster.observe(float(value))
        said.append(forecaster.ahead(horizon))
    return np.array(said)


@everyone
@settings(max_examples=25, deadline=None)
@given(load=LOADS)
def test_forecasts_are_finite_and_never_below_zero(name: str, load: list[int]) -> None:
    said = said_of(FORECASTERS[name], load, HORIZON)
    assert np.isfinite(said).all() and (said >= 0).all()


@everyone
@settings(max_examples=15, deadline=None)
@given(load=LOADS, other=LOADS)
def test_a_forecaster_is_a_value_that_nothing_changes(name: str, load: list[int], other: list[int]) -> None:
    """The same one may be asked again, and go on along two ways."""
    begun = after(FORECASTERS[name], load)
    expected = begun.ahead(HORIZON)
    one = after(begun, other).ahead(HORIZON)
    assert begun.ahead(HORIZON) == expected
    assert after(begun, other).ahead(HORIZON) == one == after(FORECASTERS[name], load + other).ahead(HORIZON)
    with pytest.raises(FrozenInstanceError):
        begun.horizon = 1


@everyone
@pytest.mark.parametrize("level", [0, 1, 1000, 10**7])
def test_a_load_that_never_changes_is_what_is_expected(name: str, level: int) -> None:
    said = after(FORECASTERS[name], [level] * 300)
    assert said.ahead(HORIZON) == pytest.approx(level, rel=1e-3, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(load=LOADS, window=st.integers(1, 20))
def test_a_moving_average_is_the_mean_of_its_window(load: list[int], window: int) -> None:
    assert after(MovingAverage(window), load).ahead(1) == pytest.approx(np.mean(load[-window:]))


@settings(max_examples=30, deadline=None)
@given(load=st.lists(st.integers(0, 1000), min_size=2, max_size=20), ticks=st.integers(1, 12))
def test_a_damped_trend_is_the_sum_of_its_damped_steps(load: list[int], ticks: int) -> None:
    """Gardner and McKenzie's equations as they are printed, with the sum over powers of the damping written out."""
    a, b, damping = 0.5, 0.2, 0.8
    level, trend = float(load[0]), 0.0
    for value in load[1:]:
        before = level
        level = a * value + (1 - a) * (level + damping * trend)
        trend = b * (level - before) + (1 - b) * damping * trend
    expected = level + sum(damping**k for k in range(1, ticks + 1)) * trend
    assert after(DampedTrend(a, b, damping), load).ahead(ticks) == pytest.approx(max(0.0, expected), abs=1e-6)


def test_trends_follow_a_line_that_rises() -> None:
    line = 1000.0 + 50.0 * np.arange(200)
    for forecaster in (DampedTrend(damping=0.999), SwitchingTrend()):
        said = after(forecaster, line).ahead(HORIZON)
        assert line[-1] + 50 * 3 < said < line[-1] + 50 * 4.5


def test_a_switching_trend_smooths_noise_and_follows_an_onset() -> None:
    """Both at once, as no single smoothing does: nearer to the level than the last value is in quiet times, and nearer
    to a ramp than the smoothing that is as good in quiet times."""
    chance = np.random.default_rng(5)
    level = np.concatenate([np.full(400, 2000.0), 2000 + 100.0 * np.arange(1, 41)])
    load = level * chance.normal(1, 0.02, len(level))
    quiet, onset = slice(200, 390), slice(410, 436)

    def off(forecaster: Any, where: slice) -> float:
        said = said_of(forecaster, load, HORIZON)
        return float(np.abs(said[:-HORIZON] - level[HORIZON:])[where].mean())

    slow = DampedTrend(0.1, 0.01, 0.95)
    assert off(SwitchingTrend(), quiet) < 0.6 * off(LastValue(), quiet)
    assert off(SwitchingTrend(), onset) < 0.5 * off(slow, onset)


def test_a_filter_of_the_switching_trend_is_the_kalman_filter() -> None:
    """Where all models are one, the mixing changes nothing: against the matrix equations."""
    change, noise = CHANGES[0], 4.0
    from burstline.buffers import switching_trend as module

    line = module.Line(1.0, 100.0, 2.0)
    x, p = np.array([100.0, 2.0]), np.array([[1.0, 0.0], [0.0, 0.1]]) * noise
    move, look = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 0.0])
    q = change * noise * np.array([[1 / 3, 1 / 2], [1 / 2, 1.0]])
    for value in (101.0, 108.0, 104.0, 130.0, 131.0):
        x, p = move @ x, move @ p @ move.T + q
        spread = look @ p @ look + noise
        likely = -((value - x[0]) ** 2 / spread + np.log(spread / noise)) / 2
        gain = p @ look / spread
        x, p = x + gain * (value - x[0]), p - np.outer(gain, look @ p)
        line, found, _ = module._update(line, change, value, noise)
        assert (line.level, line.trend) == pytest.approx(tuple(x))
        assert noise * np.array([line.level_variance, line.covariance, line.trend_variance]) == pytest.approx(
            [p[0, 0], p[0, 1], p[1, 1]]
        )
        assert found == pytest.approx(likely)


@settings(max_examples=25, deadline=None)
@given(load=LOADS)
def test_models_of_the_switching_trend_share_all_the_weight(load: list[int]) -> None:
    forecaster = after(SwitchingTrend(), load)
    assert sum(line.weight for line in forecaster.lines) == pytest.approx(1)
    for model in range(len(CHANGES)):
        mixed = forecaster._mixed(model)
        assert mixed.weight >= (1 - STAY) / len(CHANGES) * 0.99  # each can come back at any tick
        assert mixed.level_variance > 0 and mixed.trend_variance > 0


@settings(max_examples=20, deadline=None)
@given(period=st.integers(20, 300), seed=st.integers(0, 1000))
def test_a_season_is_found_in_what_comes_again(period: int, seed: int) -> None:
    """A shape of steps that chance draws, four times and a half, under noise."""
    chance = np.random.default_rng(seed)
    shape = 1000 + 4000 * (np.arange(period) % period < period * chance.uniform(0.2, 0.6))
    load = np.tile(shape, 6)[: round(4.5 * period)] * chance.normal(1, 0.02, round(4.5 * period))
    assert abs(season_of(load) - period) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_no_season_is_found_in_noise_and_in_walks(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(1000, 50, 2000)
    assert season_of(noise) == 0
    assert season_of(np.full(2000, 7.0)) == 0


def test_a_season_expects_what_came_one_season_ago() -> None:
    shape = np.concatenate([np.full(70, 1000.0), np.full(30, 9000.0)])
    load = np.tile(shape, 8)
    known = after(Seasonal(), load[:640])
    assert known.season == 100
    for ahead in (1, 30, 50, 60, 99, 100, 130):
        assert known.ahead(ahead) == load[639 + ahead]
    assert known.around(40, 40) == 9000


def test_a_regression_learns_what_the_least_squares_are() -> None:
    """A load of which the next is a fixed sum of the last two, which no expert of the others can know."""
    chance = np.random.default_rng(2)
    load = [0.0, 0.0]
    for _ in range(3000):
        load.append(1.2 * load[-1] - 0.6 * load[-2] + chance.normal(0, 1))
    load = 1000 + 50 * np.array(load)
    said = said_of(Regression(1), load, 1)
    best = 1000 + 1.2 * (load[1:-1] - 1000) - 0.6 * (load[:-2] - 1000)
    theirs = np.abs(best - load[2:])[1000:].sum()
    ours = np.abs(said[1:-1] - load[2:])[1000:].sum()
    last = np.abs(load[1:-1] - load[2:])[1000:].sum()
    assert theirs <= ours * 1.01 and ours < 1.05 * theirs < 0.8 * last


@settings(max_examples=20, deadline=None)
@given(load=st.lists(st.integers(0, 10**6), min_size=1, max_size=80), quantile=st.floats(0, 1))
def test_the_upper_side_is_between_the_forecast_and_recent_peaks(load: list[int], quantile: float) -> None:
    forecaster: Mixture = after(mixture(HORIZON), load)
    upper = forecaster.upper(quantile)
    assert forecaster.ahead() <= upper <= max(forecaster.ahead(), PEAK * max(load))
    assert upper <= forecaster.upper()


def test_a_ramp_that_was_seen_once_is_within_the_upper_side_from_then_on() -> None:
    load = loads.ramps(2000)
    forecaster, high = mixture(HORIZON), []
    for value in load:
        forecaster = forecaster.observe(float(value))
        high.append(forecaster.upper())
    short = load[HORIZON:] - np.array(high)[:-HORIZON]
    first, height = 600, load.max() - 1000  # ticks, of which the first ramp is over
    assert short[:first].max() > 0.3 * height, "nobody foresees the first one"
    assert short[first:].max() < 0.2 * height
    assert (short[first:] > 0).mean() < 0.01


def test_the_mixture_takes_up_the_forecaster_that_is_right_now() -> None:
    """In each part of a load whose kind changes it does as well as the one that suits this part, and better than the
    one that suits the other."""
    chance = np.random.default_rng(3)
    flat = np.full(600, 3000.0) * chance.normal(1, 0.05, 600)
    square = np.tile(np.repeat([2000.0, 6000.0], 25), 20)
    load = np.concatenate([flat, square])

    def off(forecaster: Any) -> tuple[float, float]:
        errors = np.abs(said_of(forecaster, load, HORIZON)[:-HORIZON] - load[HORIZON:])
        return float(errors[300:590].mean()), float(errors[1300:1590].mean())

    ours, smooth, season = off(mixture(HORIZON)), off(MovingAverage(16)), off(Seasonal())
    assert ours[0] < 1.05 * smooth[0] < 0.8 * season[0]
    assert ours[1] < 0.1 * smooth[1]


@pytest.mark.parametrize("name", forecast_limits.KNOWING)
def test_who_knows_what_made_a_load_is_nearer_to_it_than_the_last_value(name: str) -> None:
    load = loads.LOADS[name](8000)
    _, forecasts = forecast_limits.KNOWING[name]
    horizon = forecast_errors.HORIZON
    knowing = forecast_errors._off(load, *forecasts(len(load), horizon, 0.95))
    last = forecast_errors._off(load, load, load)
    assert knowing[0] < last[0] and knowing[1] < last[1]


@pytest.mark.parametrize("name", forecast_limits.KNOWING)
def test_who_knows_is_exceeded_as_often_as_the_quantile_says(name: str) -> None:
    """So that what they know is neither too much nor too little; what no one knows of, crowds to come, is above."""
    _, forecasts = forecast_limits.KNOWING[name]
    horizon, above = 10, []
    for seed in range(3):
        load = getattr(loads, forecasts.__name__)(8000, seed)
        _, high = forecasts(8000, horizon, 0.9, seed)
        above.append((load[horizon:] > high[:-horizon] + 1e-6).mean())
    assert 0.05 < np.mean(above) < 0.13
