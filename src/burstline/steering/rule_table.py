"""What a director keeps its rules in: `SteeringTable` for a stage, `XdpTable` for the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from burstline.state.steering_rules import Wildcard
from burstline.state.steering_words import Decision


class ExactCount(Protocol):
    """Rules by flow key."""

    @property
    def flows(self) -> int: ...

    def __len__(self) -> int: ...


class RuleTable(Protocol):
    """As the methods of `SteeringTable`, which say what they do."""

    @property
    def queues(self) -> int: ...

    @property
    def buckets(self) -> int: ...

    @property
    def exact(self) -> ExactCount: ...

    def set_wildcards(self, wildcards: Sequence[Wildcard], groups: Sequence[Sequence[int]] = ()) -> None: ...

    def replace(
        self,
        wildcards: Sequence[Wildcard],
        groups: Sequence[Sequence[int]],
        keys: bytes,
        ranks: Sequence[int],
        decisions: Sequence[Decision],
    ) -> None: ...

    def put(self, keys: bytes, ranks: Sequence[int], decisions: Sequence[Decision]) -> None: ...

    def remove(self, keys: bytes) -> int: ...

    def restart(self, counter: int) -> None: ...

    def counted(self, counter: int) -> tuple[int, int]: ...

    def set_reta(self, queues: Sequence[int]) -> None: ...

    def move_bucket(self, bucket: int, queue: int) -> None: ...
