"""The ports of a run as the steering controller has them: one or several, steered alike."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from burstline.engine.config import Config
from burstline.engine.worker import SEND_FAILED, TALLY
from burstline.errors import UsageError
from burstline.state.region import Block
from burstline.steering.back_end import BackEnd, Limits
from burstline.steering.degradation import spread_over
from burstline.steering.edit import AddRules, Done, Edit, MoveBucket, MoveBuckets, RemoveRules

if TYPE_CHECKING:
    from burstline.engine.live_steering import LiveSteering

BUCKETS = 128  # of a port that does not tell its RETA: as drivers have it at first, mostly


class Steered(Protocol):
    """`key` is that of the hash, `reta` the queue of each bucket at first; `hashed` says that mbufs carry the hash."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> bytes: ...

    @property
    def reta(self) -> Sequence[int]: ...

    @property
    def hashed(self) -> bool: ...

    @property
    def limits(self) -> Limits: ...

    def counts(self) -> Mapping[int, tuple[int, int]]: ...

    def change(self, edits: Sequence[Edit]) -> list[Done]: ...


@dataclass(frozen=True)
class SteeredPort:
    """A back end, and what is known of how its port hashes. `changes` carries edits out, as `Changer.change`;
    without `moves`, buckets stay where they are."""

    back_end: BackEnd
    changes: Callable[[Sequence[Edit]], list[Done]]
    key: bytes
    reta: tuple[int, ...]
    hashed: bool = False
    moves: bool = True

    @property
    def name(self) -> str:
        return self.back_end.name

    @property
    def limits(self) -> Limits:
        limits = self.back_end.limits
        return limits if self.moves else replace(limits, reta_size=0)

    def counts(self) -> Mapping[int, tuple[int, int]]:
        return self.back_end.counts()

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        return self.changes(edits)


@dataclass
class PortsAlike:
    """Several ports that have the same rules and the same RETA: each edit is carried out at all of them or at none. A
    flow may come by any. Raises UsageError for ports that hash differently."""

    ports: Sequence[Steered]
    _handles: dict[int, list[int]] = field(default_factory=dict)  # at each port, by ours

    def __post_init__(self) -> None:
        first = self.ports[0]
        for port in self.ports[1:]:
            if port.key != first.key or list(port.reta) != list(first.reta):
                raise UsageError(
                    "the ports hash packets by different keys or RETAs, and the steering controller steers all alike",
                    'write act = "off" below [steering_control], or give ports of one kind',
                )
        self._numbers = itertools.count(1)
        self._reta = list(first.reta)

    @property
    def name(self) -> str:
        return " and ".join(dict.fromkeys(port.name for port in self.ports))

    @property
    def key(self) -> bytes:
        return self.ports[0].key

    @property
    def reta(self) -> Sequence[int]:
        return self.ports[0].reta

    @property
    def hashed(self) -> bool:
        return all(port.hashed for port in self.ports)

    @property
    def limits(self) -> Limits:
        all_of = [port.limits for port in self.ports]
        exact = [one.exact for one in all_of if one.exact is not None]
        wildcards = [one.wildcards for one in all_of if one.wildcards is not None]
        return Limits(
            min(exact, default=None), min(wildcards, default=None), min(one.updates for one in all_of),
            min(one.reta_size for one in all_of),
        )  # fmt: skip

    def counts(self) -> Mapping[int, tuple[int, int]]:
        by_port = [port.counts() for port in self.ports]
        found: dict[int, tuple[int, int]] = {}
        for ours, theirs in self._handles.items():
            parts = [counts[handle] for counts, handle in zip(by_port, theirs, strict=True) if handle in counts]
            if parts:
                found[ours] = sum(part[0] for part in parts), sum(part[1] for part in parts)
        return found

    def change(self, edits: Sequence[Edit]) -> list[Done]:
        return [self._change(edit) for edit in edits]

    def _change(self, edit: Edit) -> Done:
        made: list[Done] = []
        for number, port in enumerate(self.ports):
            done = port.change([self._of(edit, number)])[0]
            if done.error is not None:
                if not isinstance(edit, RemoveRules):
                    self._undo(edit, made)
                return done
            made.append(done)
        if isinstance(edit, AddRules):
            ours = tuple(next(self._numbers) for _ in edit.rules)
            for place, handle in enumerate(ours):
                self._handles[handle] = [done.handles[place] for done in made]
            return replace(made[0], handles=ours)
        if isinstance(edit, RemoveRules):
            for handle in edit.handles:
                self._handles.pop(handle, None)
        elif isinstance(edit, MoveBucket):
            self._reta[edit.bucket] = edit.queue
        else:
            for bucket, queue in edit.queues:
                self._reta[bucket] = queue
        return made[0]

    def _of(self, edit: Edit, number: int) -> Edit:
        if isinstance(edit, RemoveRules):
            return RemoveRules(tuple(self._handles[handle][number] for handle in edit.handles))
        return edit

    def _undo(self, edit: Edit, made: Sequence[Done]) -> None:
        """At the ports before the one that refused."""
        for port, done in zip(self.ports, made, strict=False):
            if isinstance(edit, MoveBucket):
                port.change([MoveBucket(edit.bucket, self._reta[edit.bucket])])
            elif isinstance(edit, MoveBuckets):
                port.change([MoveBuckets(tuple((bucket, self._reta[bucket]) for bucket, _ in edit.queues))])
            else:
                port.change([RemoveRules(done.handles)])


def steered_by(steering: LiveSteering) -> Steered:
    """All ports of a run, as one. Raises UsageError for a port that does not tell how it hashes, or ports that differ
    in that."""
    numbers = {id(back_end): number for number, back_end in reversed(steering.back_ends.items())}
    ports = [_steered(steering, number) for number in sorted(numbers.values())]
    return ports[0] if len(ports) == 1 else PortsAlike(ports)


def _steered(steering: LiveSteering, number: int) -> SteeredPort:
    back_end, facts = steering.back_ends[number], steering.rss[number]
    if facts.key is None:
        raise UsageError(
            f"dpdk:{steering.devices[number]} does not tell the key of its hash: nobody knows the buckets of flows",
            'write steer = "software" for it in [[ports]], or act = "off" below [steering_control]',
        )
    placed = steering.choices[number].placed
    spread = next((each.rule.to for each in placed if each.level == "reta"), None)
    reta = facts.reta or tuple(bucket % steering.workers for bucket in range(BUCKETS))
    if spread is not None:  # a rule of the user, which must hold
        reta = tuple(spread_over(spread, reta, steering.core_queue))
    return SteeredPort(
        back_end, lambda edits: steering.change(number, edits), facts.key, reta, back_end.name == "rte_flow",
        moves=bool(facts.reta) and spread is None,
    )  # fmt: skip


def unsent(director: Block) -> int:
    """Packets for which the rings of workers had no room, or a port that they were to leave by."""
    tallies = director.get("tallies")
    return ctypes.c_int64.from_address(tallies + SEND_FAILED * TALLY).value if tallies else 0


def check_control(config: Config) -> None:
    """Raises UsageError where the controller or the balancer has nothing to steer by, or nothing to choose."""
    steers = config.steering_control.act != "off"
    who = (
        f"steering controller is {config.steering_control.act}" if steers else f"balancer is {config.numa_balance.act}"
    )
    if config.enable_flow_director is False:
        hint = 'write enable_flow_director = "auto" above the first section of burstline.toml'
        raise UsageError(f"the {who}, and the flow director is off", hint)
    if config.engine.workers < 2:
        raise UsageError(f"the {who}, and there is one worker", "use --workers 2 or more")
