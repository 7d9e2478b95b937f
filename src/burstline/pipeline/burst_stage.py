"""Burst stages: functions over sixteen packets at a time, as vectors; and what they return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from burstline.errors import UsageError
from burstline.pipeline.chain import Chain
from burstline.pipeline.stage import Stage
from burstline.pipeline.stage import stage as as_stage
from burstline.pipeline.verdict import PASS, Verdict

Way = Verdict | Chain | None


class BurstStage(Stage):
    """A function of a group of packets. It comes before all stages that take single packets, and is worked out for the
    whole burst before the first of them runs."""

    def __call__(self, packet: Any) -> Any:
        """Interpreted: of a group that has this one packet."""
        from burstline.packet.group import Group

        said = self.function(packet if isinstance(packet, Group) else Group(packet))
        return said.lane(0) if isinstance(said, Verdicts) else said

    def __repr__(self) -> str:
        return f"<burst stage {self.name}>"


def burst_stage(function: Callable[[Any], Any]) -> BurstStage:
    """Decorator: make a burst stage of `def name(pkts): ...`. It returns a verdict for all packets of the group, one
    for each by `where`, or `None` to go on."""
    return BurstStage(as_stage(function).function)


@dataclass(frozen=True)
class Verdicts:
    """A verdict for each packet of a group."""

    chosen: Any  # a mask
    then: Way | Verdicts
    otherwise: Way | Verdicts

    def lane(self, k: int) -> Way:
        way = self.then if self.chosen.array[k] else self.otherwise
        return way.lane(k) if isinstance(way, Verdicts) else way


def where(chosen: Any, then: Way | Verdicts, otherwise: Way | Verdicts = PASS) -> Verdicts:
    """`then` for the packets where the mask is true, `otherwise` for the others; each a verdict, or again verdicts."""
    return Verdicts(chosen, then, otherwise)


def refuse_misplaced(chains: tuple[Chain, ...]) -> None:
    """Raise UsageError for a burst stage that other stages come before: it could not know what they did."""
    for chain in chains:
        single: Stage | None = None
        for stage in chain.stages:
            if not isinstance(stage, BurstStage):
                single = stage
            elif single is not None or chain is not chains[0]:
                before = f"comes after {single.name}" if single else f"is in chain {chain.name}"
                raise UsageError(
                    f"burst stage {stage.name} {before}: it runs over the whole burst before any packet's stages",
                    "put burst stages first in the pipeline",
                )
