"""A number that stages add to: one per worker, added up when it is read.

All counters of a pipeline lie side by side in one block for each worker. Compiled stages add to variables of their own,
whose sums the worker adds to its block once a burst (compiler/counters.py).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence
from dataclasses import dataclass

from burstline.state.base import State
from burstline.state.region import Lines

COUNTERS = "burstline_counters"  # the linker symbol of a worker's block
_numbers = itertools.count()


class CounterBlock:
    """One worker's counters, 64 bits each, in the order given; whole cache lines that nobody else writes."""

    def __init__(self, counters: Sequence[Counter]) -> None:
        self._lines = Lines(8 * len(counters))
        self.address = self._lines.address
        self.counters = list(counters)
        for place, counter in enumerate(counters):
            counter.held = counter.held.with_place(Place(self, place))

    def value(self, place: int) -> int:
        return self._lines.i64(8 * place)


@dataclass(frozen=True)
class Place:
    """Where a worker's share of a counter lies."""

    block: CounterBlock
    number: int

    @property
    def value(self) -> int:
        return self.block.value(self.number)


@dataclass(frozen=True)
class Held:
    """What compiled code has added: in blocks that workers write, and in those that they do not write any more."""

    settled: int = 0
    places: tuple[Place, ...] = ()

    @property
    def value(self) -> int:
        return self.settled + sum(p.value for p in self.places)

    def with_place(self, place: Place) -> Held:
        return Held(self.settled, (*self.places, place))

    def without(self, block: CounterBlock) -> Held:
        """The same value, with a block let go of that nobody writes any more."""
        gone = sum(p.value for p in self.places if p.block is block)
        return Held(self.settled + gone, tuple(p for p in self.places if p.block is not block))


class Counter(State):
    """`hits = Counter("hits")`; in a stage `hits.add(1)`; after the run `hits.value`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.identity = next(_numbers)  # an object that takes over another's value has this too
        self.held = Held()
        self._own = 0

    def add(self, n: int = 1) -> None:
        """Add `n`, an integer that may be negative."""
        self._own += operator.index(n)

    @property
    def value(self) -> int:
        """The sum over all workers, as of the last burst of each."""
        return self._own + self.held.value

    def __int__(self) -> int:
        return self.value

    def __repr__(self) -> str:
        return f"Counter({self.name!r}: {self.value})"

    def signature(self) -> tuple[str, ...]:
        return ()

    def attach(self) -> int:
        """In a block of its own: the engine makes one for all counters of a pipeline."""
        return CounterBlock([self]).address

    def addresses(self) -> list[int]:
        return [p.block.address + 8 * p.number for p in self.held.places]

    def settle(self, block: CounterBlock) -> None:
        """A worker does not write this block any more: keep its sum and not the memory."""
        self.held = self.held.without(block)

    def adopt(self, old: Counter) -> bool:
        self._own, self.held, self.identity = old._own, old.held, old.identity
        return True

    def reset(self) -> None:
        self._own = 0
        self.held = Held()
        self.identity = next(_numbers)
