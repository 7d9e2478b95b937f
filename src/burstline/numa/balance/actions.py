"""What a balancing policy says: values, each with the numbers that decided it, in words."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MoveGroup:
    """A group of flows goes to another worker, and its records with it."""

    group: int
    worker: int
    reason: str


@dataclass(frozen=True)
class Park:
    """A worker that has no group any more stops polling, until it is woken."""

    worker: int
    reason: str


@dataclass(frozen=True)
class Wake:
    """A parked worker polls again."""

    worker: int
    reason: str


Action = MoveGroup | Park | Wake
