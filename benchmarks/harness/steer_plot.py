"""Core loads over time under plain RSS, RSS++ and the steering controller, as a picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.harness.plots import new_figure
from benchmarks.harness.steer_simulated import outcomes
from burstline.steering.control.traces import STEP, elephants


def draw_loads(directory: Path, seed: int = 8) -> Path:
    """Elephants that come and go over mice; returns the file. Raises BurstlineError without Matplotlib."""
    done = outcomes(elephants(seed))
    figure = new_figure(9, 3.2)
    axes = figure.subplots(1, len(done), sharey=True)
    for one, place in zip(done, axes, strict=True):
        seconds = np.arange(len(one.loads)) * STEP
        for core in range(one.loads.shape[1]):
            place.plot(seconds, one.loads[:, core], linewidth=0.8)
        place.plot(seconds, one.loads.mean(axis=1), color="black", linestyle=":", linewidth=1)
        place.axhline(1, color="grey", linewidth=0.5)
        name = "plain RSS" if one.policy == "plain" else one.policy
        place.set(title=f"{name}: {one.moves} moves", xlabel="seconds", xlim=(0, seconds[-1]))
    axes[0].set(ylabel="load of each core", ylim=(0, None))
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "steer-loads.svg"
    figure.savefig(file)
    return file
