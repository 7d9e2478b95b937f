"""The forecast that is learnt from the load: what it says of loads that nobody has seen before."""

from __future__ import annotations

import numpy as np
import pytest

from burstline.buffers.forecast import Forecaster
from burstline.buffers.mixture import Mixture, mixture
from burstline.buffers.regression import Regression


@pytest.mark.parametrize("made", [Regression(4), mixture(4), Regression(10), mixture(10)])
@pytest.mark.parametrize(("before", "ticks"), [(0.0, 1), (0.0, 6), (0.0, 50), (100.0, 30)])
def test_the_first_load_is_not_forecast_to_go_on_growing(made: Forecaster, before: float, ticks: int) -> None:
    """A pool begins with nothing in use."""
    chance = np.random.default_rng(1)
    for value in [*[before] * ticks, *(8000 * chance.normal(1, 0.02, 100))]:
        made = made.observe(value)
        assert made.ahead(4) < 2 * 8000
        if isinstance(made, Mixture):
            assert made.upper() < 2 * 8000


def test_a_load_that_swings_is_learnt() -> None:
    """Which neither the last value nor a mean can tell."""
    load = 1000 + 500 * np.sin(2 * np.pi * np.arange(600) / 40)
    forecaster, off = Regression(10), []
    for tick, value in enumerate(load):
        forecaster = forecaster.observe(float(value))
        if 300 <= tick < len(load) - 10:
            off.append(abs(forecaster.ahead(10) - load[tick + 10]))
    assert max(off) < 25
