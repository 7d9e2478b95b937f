"""Pictures, as SVG: of pools under loads, and of rates by the size of bursts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness.controlled import HORIZON
from benchmarks.harness.elastic import FIRST, Done
from benchmarks.harness.loads import TICK
from burstline.errors import BurstlineError


def new_figure(width: float, height: float) -> Any:
    """Of so many inches. Raises BurstlineError without Matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise BurstlineError("pictures need Matplotlib", "pip install burstline[bench]") from None
    return Figure(figsize=(width, height), layout="constrained")


def draw_bursts(rates: Mapping[int, tuple[float, float]], directory: Path) -> Path:
    """By the size of a burst, its packets/s and those of bursts of one in the same minutes; returns the file."""
    figure = new_figure(7, 3.2)
    axes = figure.subplots()
    sizes = sorted(rates)
    axes.plot(sizes, [rates[size][0] / 1e6 for size in sizes], "o-", color="tab:blue", label="packets in bursts")
    axes.plot(sizes, [rates[size][1] / 1e6 for size in sizes], "o:", color="grey", label="one by one, beside it")
    axes.set_xscale("log", base=2)
    axes.set(xticks=sizes, xticklabels=sizes, ylim=(0, None), xlabel="packets in a burst", ylabel="million packets/s")
    axes.legend(loc="center right", fontsize="small")
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "bursts.svg"
    figure.savefig(file)
    return file


def draw(done: Done, directory: Path) -> Path:
    """A picture of one load; returns its file. Raises BurstlineError without Matplotlib."""
    figure = new_figure(9, 4)
    axes = figure.subplots()
    seconds = np.arange(len(done.load)) * TICK
    at, populated, expected, upper = (np.array(column) for column in zip(*done.looks, strict=True))
    axes.fill_between(at * TICK, populated, step="post", alpha=0.15, color="tab:blue", label="populated")
    axes.plot((at + HORIZON) * TICK, upper, color="tab:green", linewidth=0.7, label="hardly above, as forecast")
    axes.plot((at + HORIZON) * TICK, expected, color="tab:orange", linewidth=0.7, label="forecast, 20 ms before")
    axes.plot(seconds, done.load, color="black", linewidth=0.9, label="load")
    axes.axhline(done.mean_populated, color="tab:blue", linewidth=0.7, linestyle="--", label="populated on average")
    failed = done.failures > 0
    axes.plot(seconds[failed], done.load[failed], "x", color="tab:red", markersize=4, label="failed")
    axes.axvline(FIRST * TICK, color="grey", linewidth=0.5)
    top = max(done.load.max(), populated.max())
    axes.set(xlim=(0, seconds[-1]), ylim=(0, 1.3 * top), xlabel="seconds", ylabel="buffers")
    axes.set_title(done.name)
    axes.legend(loc="upper right", fontsize="small", ncols=3)
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"buffers-{done.name.replace(', ', '-').replace(' ', '-')}.svg"
    figure.savefig(file)
    return file
