"""Profiles: how many packets took each way between the stages in a run, kept in a file for the runs that come.

In the file stages and chains go by their names, so that it still tells something when the application has changed:
what it does not know is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from burstline.pipeline.pipeline import Pipeline

EdgeCounts = Mapping[tuple[int, int, str, str], int]  # chain and place, kind, to: engine/report.py's edges
SUFFIX = ".profile.json"


def profile_of(app: Path) -> Path:
    """The file beside an application."""
    return app.with_suffix(SUFFIX)


def save(path: Path, pipeline: Pipeline, edges: EdgeCounts) -> None:
    """Write the edges of a run, beside those of other pipelines of the same application."""
    known = _read(path) if path.is_file() else {}
    rows = []
    for (chain, place, kind, to), packets in edges.items():
        of = pipeline.chains[chain]
        target = pipeline.chains[int(to)].name if kind == "chain" else to
        rows.append([of.name, of.stages[place].name, kind, target, packets])
    known[pipeline.name] = rows
    try:
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BurstlineError(f"{path}: {error.strerror}", "keep the application where files can be written") from error


def load(path: Path, pipeline: Pipeline) -> EdgeCounts | None:
    """The edges that a file has of a pipeline; None where it has none, or there is no such file. Raises BurstlineError
    for one that cannot be read."""
    rows = _read(path).get(pipeline.name) if path.is_file() else None
    if rows is None:
        return None
    places = {
        (chain.name, stage.name): (number, place)
        for number, chain in reversed(list(enumerate(pipeline.chains)))
        for place, stage in reversed(list(enumerate(chain.stages)))
    }
    numbers = {chain.name: str(number) for number, chain in enumerate(pipeline.chains)}
    found: dict[tuple[int, int, str, str], int] = {}
    for chain, stage, kind, to, packets in rows:
        target = numbers.get(to) if kind == "chain" else to
        if (chain, stage) in places and target is not None:
            edge = (*places[chain, stage], kind, target)
            found[edge] = found.get(edge, 0) + packets
    return found


def _read(path: Path) -> dict[str, list[list[Any]]]:
    try:
        known: dict[str, list[list[Any]]] = json.loads(path.read_text(encoding="utf-8"))
        for rows in known.values():
            for chain, stage, kind, to, packets in rows:
                if not all(isinstance(t, str) for t in (chain, stage, kind, to)) or not isinstance(packets, int):
                    raise ValueError("a row is of four texts and a number")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        hint = "delete it, or make it again: burstline layout APP --profile SOURCE --save"
        raise BurstlineError(f"{path} is no profile: {error}", hint) from error
    return known
