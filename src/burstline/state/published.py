"""What workers read and one thread replaces, without a lock: each says what it reads before it does (hazard pointers:
Michael, "Safe memory reclamation for dynamic lock-free objects using atomic reads and writes", PODC 2002)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, Protocol, TypeVar

from burstline.state.region import Block


class InMemory(Protocol):
    """What the workers read; it never changes."""

    @property
    def address(self) -> int: ...


Tables = TypeVar("Tables", bound=InMemory)


class Published(Generic[Tables]):
    """The versions of something. Workers have a head with two fields: `tables`, the address of what counts from the
    next burst on, and `reading`, of what the worker reads (`published_kernel.used_tables`)."""

    def __init__(self) -> None:
        self._built: list[Tables] = []  # the one that counts comes last; those before it may still be read

    @property
    def last(self) -> Tables:
        return self._built[-1]

    def begin(self, tables: Tables) -> None:
        """Before there are workers."""
        self._built = [tables]

    def publish(self, tables: Tables, heads: Iterable[Block]) -> None:
        """Hand other tables to the workers, and give back those that none can read any more. Nothing here keeps the
        processor from looking before the others see what was written; so those before the last ones are given back, not
        these: what was written when they went is seen by now."""
        heads = list(heads)
        read = {head.get("reading") for head in heads}
        self._built = [each for each in self._built[:-1] if each.address in read] + self._built[-1:]
        self._built.append(tables)
        for head in heads:
            head.set(tables=tables.address)

    def end(self) -> None:
        """There are no workers any more."""
        self._built = []
