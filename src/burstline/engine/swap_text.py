"""What a swap changed, in a line."""

from __future__ import annotations

from collections.abc import Iterable

from burstline.engine.carry import Swap
from burstline.pipeline.fingerprint import code_fingerprint
from burstline.pipeline.pipeline import Pipeline


def described(old: Pipeline, new: Pipeline, swap: Swap, seconds: float) -> str:
    """One line: what changed, how long it took, what became of the state."""
    before, after = _stages(old), _stages(new)
    parts = [
        _list("changed", (name for name in after if name in before and after[name] != before[name])),
        _list("new", (name for name in after if name not in before)),
        _list("gone", (name for name in before if name not in after)),
    ]
    stages = "; ".join(filter(None, parts)) or "no stage changed"
    state = [_list("kept", swap.carried.kept), _list("begun anew", swap.carried.begun_anew)]
    return "; ".join([f"swapped in {seconds:.2f} s: {stages}", *filter(None, state)])


def _stages(pipeline: Pipeline) -> dict[str, list[object]]:
    return {stage.name: list(code_fingerprint(stage.function)) for chain in pipeline.chains for stage in chain.stages}


def _list(what: str, names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"{what} {listed}" if listed else ""
