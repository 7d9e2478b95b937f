"""Outcomes as SVG: for each policy how busy workers are, how long packets wait, and how many groups move, over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from burstline.numa.simulate.outcome import Outcome, quantile

WIDTH, HEIGHT, LEFT, TOP, GAP = 620, 120, 64, 56, 34  # pixels: of a panel, and around it
COLUMNS = 240  # points of a line
PALETTE = ("#1f6f8b", "#99582a", "#5b8e3e", "#8e4585", "#c44536", "#4361ee", "#b8860b", "#606c76")
TITLES = ("busy, by worker", "p99 wait, µs", "groups moved")


def draw_outcomes(outcomes: Sequence[Outcome], title: str) -> str:
    """The text of an SVG file."""
    worst = max(_waits(one).max(initial=1.0) for one in outcomes)
    most = max(max(one.moved, default=0) for one in outcomes)
    wide = LEFT + len(outcomes) * (WIDTH + LEFT) + 10
    tall = TOP + 3 * (HEIGHT + GAP) + 20
    drawn = [_text(LEFT, 20, title, 15)]
    for column, one in enumerate(outcomes):
        x = LEFT + column * (WIDTH + LEFT)
        lost = f"{one.drops:,} of {one.packets:,} dropped"
        said = f"{one.policy}: p99 {one.wait() / 1e3:,.1f} µs, {one.moves()} moves, {lost}"
        drawn.append(_text(x, 42, said, 13))
        panels = (_loads(one), _latency(one, worst), _moves(one, most))
        for row, (lines, ticks) in enumerate(panels):
            y = TOP + row * (HEIGHT + GAP)
            drawn.append(f'<g transform="translate({x},{y})">{_axes(TITLES[row], ticks, one.times[-1])}{lines}</g>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" font-family="sans-serif">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(drawn)}</svg>\n'
    )


Ticks = Sequence[tuple[float, str]]


def _loads(one: Outcome) -> tuple[str, Ticks]:
    busy = _thinned(np.array(one.busy), np.mean)
    lines = [_line(busy[:, w], lambda v: v, PALETTE[w % len(PALETTE)]) for w in range(busy.shape[1])]
    return "".join(lines), [(0.0, "0"), (0.5, "0.5"), (1.0, "1")]


def _latency(one: Outcome, worst: float) -> tuple[str, Ticks]:
    top = math.ceil(math.log10(max(worst, 10.0)))
    waits = _thinned(_waits(one)[:, None], np.max)[:, 0]
    line = _line(waits, lambda v: math.log10(max(v, 0.1)) / (top + 1) + 1 / (top + 1), PALETTE[0])
    return line, [((k + 1) / (top + 1), f"{10.0**k:g}") for k in range(-1, top + 1)]


def _moves(one: Outcome, most: int) -> tuple[str, Ticks]:
    top = max(4, most)
    bars = [
        f'<rect x="{WIDTH * k / len(one.moved):.1f}" y="{HEIGHT * (1 - count / top):.1f}" width="2" '
        f'height="{HEIGHT * count / top:.1f}" fill="{PALETTE[4]}"/>'
        for k, count in enumerate(one.moved)
        if count
    ]
    return "".join(bars), [(0.0, "0"), (1.0, str(top))]


def _waits(one: Outcome) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([quantile(counts, 0.99) / 1e3 for counts in one.waits])


def _thinned(values: Any, by: Callable[..., Any]) -> Any:
    """Of so many rows that there is a point for each."""
    parts = np.array_split(values, min(COLUMNS, len(values)))
    return np.array([by(part, axis=0) for part in parts])


def _line(values: Iterable[float], place: Callable[[float], float], colour: str) -> str:
    values = list(values)
    points = " ".join(
        f"{WIDTH * (k + 0.5) / len(values):.1f},{HEIGHT * (1 - min(1.0, max(0.0, place(float(v))))):.1f}"
        for k, v in enumerate(values)
    )
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'


def _axes(title: str, ticks: Ticks, seconds: float) -> str:
    return "".join(_parts(title, ticks, seconds))


def _parts(title: str, ticks: Ticks, seconds: float) -> Iterator[str]:
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fafaf7" stroke="#bbb"/>'
    yield _text(0, -5, title, 11)
    for at, label in ticks:
        y = HEIGHT * (1 - at)
        yield f'<line x1="0" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield f'<text x="-6" y="{y + 4:.1f}" font-size="10" text-anchor="end">{label}</text>'
    yield f'<text x="{WIDTH}" y="{HEIGHT + 13}" font-size="10" text-anchor="end">{seconds:g} s</text>'


def _text(x: float, y: float, text: str, size: int) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}">{escape(text)}</text>'
