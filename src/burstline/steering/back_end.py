"""What each back end of the flow director offers: rte_flow, XDP, RETA moves, and the software director."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from burstline.errors import BurstlineError, UsageError
from burstline.state.exact_rules import TableFull as TableFull
from burstline.steering.rule import SteeringRule


class CannotSteer(UsageError):
    """A back end cannot do a rule; `field` is what of the rule it cannot, `where` says which of several rules."""

    def __init__(self, field: str, problem: str, hint: str, where: str = "") -> None:
        super().__init__(f"{where}: {field}: {problem}" if where else f"{field}: {problem}", hint)
        self.field = field


class DeviceFault(BurstlineError):
    """The device did otherwise than it was told; the message says what is in force now."""


@dataclass(frozen=True)
class Limits:
    """What is left. Of rules None is more than is known."""

    exact: int | None  # rules that name a whole flow
    wildcards: int | None  # others: at most so many, since one may take several places
    updates: float  # rules a second that may safely be changed
    reta_size: int  # 0: it has none


class BackEnd(Protocol):
    """Who carries rules out. A call that raises leaves the rules as they were, unless it raises DeviceFault."""

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> Limits: ...

    def apply(self, rules: Iterable[SteeringRule]) -> list[int]:
        """These rules in place of all others; returns their handles. Raises CannotSteer, TableFull, DeviceFault."""
        ...

    def add(self, rule: SteeringRule) -> int:
        """One more rule, behind those of its priority; returns its handle. Raises as `apply` does."""
        ...

    def remove(self, handle: int) -> None:
        """The rule goes. KeyError where there is none; DeviceFault where it stays."""
        ...

    def rules(self) -> dict[int, SteeringRule]:
        """All that are in force, by handle."""
        ...

    def counts(self) -> dict[int, tuple[int, int]]:
        """Packets and bytes of each rule with `count`."""
        ...

    def set_reta(self, queues: list[int]) -> None:
        """The queue of each bucket of the hash."""
        ...

    def move_bucket(self, bucket: int, queue: int) -> None: ...

    def move_buckets(self, queues: Mapping[int, int]) -> None:
        """Each bucket of these to its queue, all or none."""
        ...

    def close(self) -> None:
        """No rule any more."""
        ...


def add_together(back_end: BackEnd, rules: Sequence[SteeringRule]) -> list[int]:
    """All of these rules or none, such as those of both directions of a flow; raises what `add` raises for one, and
    DeviceFault where others then stay."""
    handles: list[int] = []
    try:
        for rule in rules:
            handles.append(back_end.add(rule))
    except Exception:
        for handle in reversed(handles):
            back_end.remove(handle)
        raise
    return handles
