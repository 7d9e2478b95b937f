"""Profiles: how many packets took each way between the stages in a run, and how often each branch in their code was
taken, kept in a file for the runs that come.

In the file stages and chains go by their names, and code by what it is, so that it still tells something when the
application has changed: what it does not know is left out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING, Any

from burstline.errors import BurstlineError

if TYPE_CHECKING:
    from burstline.pipeline.pipeline import Pipeline

EdgeCounts = Mapping[tuple[int, int, str, str], int]  # chain and place, kind, to: engine/report.py's edges
Taken = Mapping[tuple[int, int], int]  # from one block to another, by their numbers in a FlowGraph
BranchCounts = Mapping[str, Taken]  # by `code_key`
SUFFIX = ".profile.json"


@dataclass(frozen=True)
class Profile:
    """What runs told of a pipeline."""

    edges: EdgeCounts
    branches: BranchCounts = field(default_factory=dict)


def code_key(code: CodeType) -> str:
    """Tells code apart by its instructions and the names in them."""
    return hashlib.blake2b(code.co_code + repr(code.co_names).encode(), digest_size=10).hexdigest()


def profile_of(app: Path) -> Path:
    """The file beside an application."""
    return app.with_suffix(SUFFIX)


def save(path: Path, pipeline: Pipeline, profile: Profile) -> None:
    """Write a profile, beside those of other pipelines of the same application."""
    known = _read(path) if path.is_file() else {}
    edges = []
    for (chain, place, kind, to), packets in profile.edges.items():
        of = pipeline.chains[chain]
        target = pipeline.chains[int(to)].name if kind == "chain" else to
        edges.append([of.name, of.stages[place].name, kind, target, packets])
    branches = {key: [[*way, times] for way, times in taken.items()] for key, taken in profile.branches.items()}
    known[pipeline.name] = {"edges": edges, "branches": branches}
    try:
        path.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise BurstlineError(f"{path}: {error.strerror}", "keep the application where files can be written") from error


def load(path: Path, pipeline: Pipeline) -> Profile | None:
    """What a file has of a pipeline; None where it has nothing, or there is no such file. Raises BurstlineError for one
    that cannot be read."""
    known = _read(path).get(pipeline.name) if path.is_file() else None
    if known is None:
        return None
    places = {
        (chain.name, stage.name): (number, place)
        for number, chain in reversed(list(enumerate(pipeline.chains)))
        for place, stage in reversed(list(enumerate(chain.stages)))
    }
    numbers = {chain.name: str(number) for number, chain in enumerate(pipeline.chains)}
    edges: dict[tuple[int, int, str, str], int] = {}
    for chain, stage, kind, to, packets in known["edges"]:
        target = numbers.get(to) if kind == "chain" else to
        if (chain, stage) in places and target is not None:
            edge = (*places[chain, stage], kind, target)
            edges[edge] = edges.get(edge, 0) + packets
    branches = {key: {(a, b): times for a, b, times in taken} for key, taken in known["branches"].items()}
    return Profile(edges, branches)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        known: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        for of in known.values():
            for chain, stage, kind, to, packets in of["edges"]:
                if not all(isinstance(t, str) for t in (chain, stage, kind, to)) or not isinstance(packets, int):
                    raise ValueError("an edge is four texts and a number")
            for taken in of["branches"].values():
                for way in taken:
                    if len(way) != 3 or not all(isinstance(n, int) for n in way):
                        raise ValueError("a branch is three numbers")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        hint = "delete it, or make it again: burstline layout APP --profile SOURCE --save"
        raise BurstlineError(f"{path} is no profile: {error}", hint) from error
    return known
