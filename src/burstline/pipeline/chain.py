"""Chains: stages in a row."""

from __future__ import annotations

from burstline.errors import UsageError
from burstline.pipeline.stage import Stage


class Chain:
    """Stages in a row. A stage hands a packet to another chain by returning it: `return dns`."""

    def __init__(self, *stages: Stage, name: str | None = None) -> None:
        for stage in stages:
            if not isinstance(stage, Stage):
                raise UsageError(
                    f"{stage!r} is not a stage", "put @bl.stage above the function and pass the function itself"
                )
        if not stages:
            raise UsageError("a chain needs at least one stage", "bl.Chain(first, second)")
        self.stages = stages
        self.name = name or stages[0].name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(s.name for s in self.stages)})"
