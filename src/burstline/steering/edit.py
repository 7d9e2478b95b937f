"""What is changed of a port's steering while it runs: values, and how a back end carries them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from burstline.errors import BurstlineError
from burstline.steering.back_end import BackEnd, add_together
from burstline.steering.rule import SteeringRule


@dataclass(frozen=True)
class AddRules:
    """All of these rules or none, such as those of both directions of a flow."""

    rules: tuple[SteeringRule, ...]


@dataclass(frozen=True)
class RemoveRules:
    handles: tuple[int, ...]


@dataclass(frozen=True)
class MoveBucket:
    bucket: int
    queue: int


@dataclass(frozen=True)
class MoveBuckets:
    """Each bucket of these pairs to its queue, all or none, by one update of the RETA."""

    queues: tuple[tuple[int, int], ...]


Edit = AddRules | RemoveRules | MoveBucket | MoveBuckets


@dataclass(frozen=True)
class Done:
    """What became of an edit: the handles of its rules, or why it was refused."""

    handles: tuple[int, ...] = ()
    error: BurstlineError | None = None


class Changer(Protocol):
    """Who changes the steering of a port while packets flow."""

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        """Carry these out, each or not; returns when they are in force. Raises nothing that an edit can cause."""
        ...


def carry_out(back_end: BackEnd, edit: Edit) -> Done:
    """One edit by a back end, whatever becomes of packets meanwhile."""
    try:
        match edit:
            case AddRules(rules):
                return Done(tuple(add_together(back_end, rules)))
            case RemoveRules(handles):
                for handle in handles:
                    back_end.remove(handle)
            case MoveBucket(bucket, queue):
                back_end.move_bucket(bucket, queue)
            case MoveBuckets(queues):
                back_end.move_buckets(dict(queues))
    except BurstlineError as error:
        return Done(error=error)
    return Done()
