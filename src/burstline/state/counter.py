"""A number that stages add to: one per worker, added up when it is read."""

from __future__ import annotations

import operator

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import State
from burstline.state.region import Block


class CounterBlock(Struct):
    value: i64


class Counter(State):
    """`hits = Counter("hits")`; in a stage `hits.add(1)`; after the run `hits.value`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._own = 0
        self._blocks: list[Block] = []

    def add(self, n: int = 1) -> None:
        """Add `n`, an integer that may be negative."""
        self._own += operator.index(n)

    @property
    def value(self) -> int:
        """The sum over all workers."""
        return self._own + sum(b.get("value") for b in self._blocks)

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Counter({self.name!r}: {self.value})"

    def signature(self) -> tuple[str, ...]:
        return ()

    def attach(self) -> int:
        self._blocks.append(Block(CounterBlock.layout))
        return self._blocks[-1].address

    def addresses(self) -> list[int]:
        return [b.address for b in self._blocks]

    def adopt(self, old: Counter) -> bool:
        self._own, self._blocks = old._own, old._blocks
        return True

    def reset(self) -> None:
        self._own = 0
        self._blocks = []
