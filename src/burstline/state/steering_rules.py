"""Steering rules in memory, as compiled code reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.exact_rules import ExactRules
from burstline.state.region import Block, Region
from burstline.state.steering_words import Condition, Decision, used_words

CONDITION_SIZE = 16  # bytes: word, mask, least, how many more
WILDCARD = 24  # bytes: conditions before it, their number, rank, decision


@dataclass(frozen=True)
class Wildcard:
    """A rule that is compared: all of its conditions hold."""

    conditions: tuple[Condition, ...]
    rank: int
    decision: Decision


class SteeringTables(Struct):
    """The rules of one moment; they never change, but for single exact rules."""

    conditions: i64  # address of the conditions of all wildcards
    wildcards: i64  # address of the wildcards, from the last rank to the first
    count: i64  # how many
    used: i64  # bit set of the words that they look at
    slots: i64  # address of the ExactRules' slots
    mask: i64  # how many, less one
    exact: i64  # address of how many exact rules there are
    groups: i64  # address of 16-bit numbers: of each group how many queues, and which


class SteeringRules:
    """The rules of one moment in memory, at `address`."""

    def __init__(self, wildcards: Sequence[Wildcard], groups: Sequence[Sequence[int]], exact: ExactRules) -> None:
        import numpy as np

        conditions = [c for w in wildcards for c in w.conditions]
        rows = np.array([(c.word, c.mask, c.least, c.more) for c in conditions], "u4").reshape(-1, 4)
        made = np.zeros(len(wildcards), [("first", "u4"), ("count", "u4"), ("rank", "i8"), ("decision", "i8")])
        first = 0
        for k, wildcard in enumerate(wildcards):
            made[k] = first, len(wildcard.conditions), wildcard.rank, wildcard.decision.word
            first += len(wildcard.conditions)
        self._exact, self._table = exact.slots, exact  # kept as long as they may be read
        self._keep = [_region(rows), _region(made[::-1].copy()), _region(grouped(groups))]
        self._block = Block(SteeringTables.layout)
        self._block.set(
            conditions=self._keep[0].address, wildcards=self._keep[1].address, groups=self._keep[2].address,
            count=len(wildcards), used=used_words(conditions), slots=self._exact.address, mask=exact.mask,
            exact=exact.count_address,
        )  # fmt: skip
        self.address = self._block.address


def grouped(groups: Sequence[Sequence[int]]) -> Any:
    """All groups behind each other, as compiled code reads them: a decision names the place of its group."""
    import numpy as np

    return np.array([n for group in groups for n in (len(group), *group)], "u2")


def _region(array: Any) -> Region:
    data = array.tobytes()
    region = Region(len(data) + 64)
    region.write(0, data)
    return region
