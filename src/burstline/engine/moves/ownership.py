"""Which worker has which flow: by the rules that count now, and by those that come."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from burstline.errors import UsageError
from burstline.state.steering_table import SteeringTable
from burstline.steering.back_end import CannotSteer, add_together
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import AddRules, Changer, Edit, MoveBucket, MoveBuckets, RemoveRules
from burstline.steering.rule import SteeringRule
from burstline.steering.software import key_of
from burstline.steering.target import Cores


@dataclass
class Owned:
    """A rule, with its handle in both tables and at the ports."""

    rule: SteeringRule
    before: int = 0
    after: int = 0
    at_ports: int = 0


class Ownership:
    """The same rules in both tables and at the `ports`, but for what is `planned`."""

    def __init__(
        self,
        ports: Changer,
        tables: tuple[SteeringTable, SteeringTable],
        core_queue: Callable[[int], int],
        *,
        own_groups: bool = False,
    ) -> None:
        self.ports, self.tables, self._own_groups = ports, tables, own_groups
        self.before, self.after = (SoftwareDirector(table, core_queue) for table in tables)
        self._numbers = itertools.count(1)
        self._owned: dict[int, Owned] = {}

    def begin(self, rules: Sequence[SteeringRule], reta: Sequence[int]) -> None:
        """What the ports have in force from the start, which nobody will remove one by one."""
        for director in (self.before, self.after):
            director.apply(rules)
            director.set_reta(list(reta))

    def plan_all(self, rules: Sequence[SteeringRule], reta: Sequence[int] = ()) -> None:
        """Other rules that come in place of all, and RETA where one is given."""
        self.after.apply(rules)
        if reta:
            self.after.set_reta(list(reta))

    def settle_all(self, rules: Sequence[SteeringRule], reta: Sequence[int]) -> None:
        """What has come in place of all."""
        self.before.apply(rules)
        self.before.set_reta(list(reta))
        self._owned = {}

    def counts(self, of_ports: Mapping[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
        """What the ports counted, by our handles."""
        found = [(number, of_ports.get(owned.at_ports)) for number, owned in list(self._owned.items())]
        return {number: count for number, count in found if count is not None}

    def planned(self, edit: Edit) -> Planned:
        """An edit of the rules that come. Raises what `SoftwareDirector` raises, and UsageError."""
        match edit:
            case AddRules():
                self._check(edit.rules)
                return Adding(self, edit)
            case RemoveRules():
                return Removing(self, edit)
            case MoveBucket(bucket, queue):
                return MovingBuckets(self, edit, {bucket: queue})
            case MoveBuckets(queues):
                return MovingBuckets(self, edit, dict(queues))

    def _check(self, rules: Sequence[SteeringRule]) -> None:
        for rule in rules if self._own_groups else ():
            if isinstance(rule.to, Cores) and len(rule.to.numbers) > 1:
                problem = "the device does not tell to which of several cores a flow goes, so its record cannot follow"
                raise CannotSteer("to", problem, 'name one core or queue, or steer by software: steer = "software"')

    def batches(self, edits: Sequence[Edit]) -> Iterator[list[Edit]]:
        """Edits that can be carried out together, each or not: each flow has to do with one of them at most. So between
        two edits, too, it is where it was or where it goes."""
        batch: list[Edit] = []
        taken: set[object] = set()
        for edit in edits:
            touched = self._touched(edit)
            kinds = {isinstance(each, MoveBucket | MoveBuckets) for each in (edit, *batch)}
            if batch and (not touched or not taken or touched & taken or len(kinds) > 1):
                yield batch
                batch, taken = [], set()
            batch.append(edit)
            taken |= touched
        if batch:
            yield batch

    def _touched(self, edit: Edit) -> set[object]:
        """The bucket, or the flows; empty where it may be any."""
        match edit:
            case MoveBucket(bucket, _):
                return {bucket}
            case MoveBuckets(queues):
                return {bucket for bucket, _ in queues}
            case AddRules(rules):
                return _flows(rules)
            case RemoveRules(handles) if all(handle in self._owned for handle in handles):
                return _flows([self._owned[handle].rule for handle in handles])
        return set()

    def number(self, owned: Owned) -> int:
        number = next(self._numbers)
        self._owned[number] = owned
        return number

    def of(self, number: int) -> Owned:
        if number not in self._owned:
            raise UsageError(f"there is no steering rule {number}", "it may have gone with others that were replaced")
        return self._owned[number]

    def forget(self, number: int) -> None:
        del self._owned[number]

    def all(self) -> list[Owned]:
        return list(self._owned.values())

    def tell(self, edit: Edit) -> tuple[int, ...]:
        """The ports; returns their handles. Raises BurstlineError where they refuse."""
        done = self.ports.change([edit])[0]
        if done.error is not None:
            raise done.error
        return done.handles


class Planned(ABC):
    """An edit that the coming rules have. First `carry_out`, which raises BurstlineError where the ports refuse it;
    then `settle`, or `take_back`."""

    handles: tuple[int, ...] = ()
    keys: bytes | None = None  # of all flows that it can move, where they are known
    sources: frozenset[int] | None = None  # the workers that they are at; None where they may be at any

    @abstractmethod
    def carry_out(self) -> None: ...

    @abstractmethod
    def take_back(self) -> None: ...

    @abstractmethod
    def settle(self) -> None: ...


def _flows(rules: Sequence[SteeringRule]) -> set[object]:
    return {key_of(rule) for rule in rules} if all(rule.is_exact for rule in rules) else set()


def _keys(rules: Sequence[SteeringRule]) -> bytes | None:
    return b"".join(map(key_of, rules)) if all(rule.is_exact for rule in rules) else None


class Adding(Planned):
    def __init__(self, ownership: Ownership, edit: AddRules) -> None:
        self._ownership, self._edit, self.keys = ownership, edit, _keys(edit.rules)
        after = add_together(ownership.after, edit.rules)
        self._owned = [Owned(rule, after=handle) for rule, handle in zip(edit.rules, after, strict=True)]

    def carry_out(self) -> None:
        for owned, handle in zip(self._owned, self._ownership.tell(self._edit), strict=True):
            owned.at_ports = handle
        self.handles = tuple(self._ownership.number(owned) for owned in self._owned)

    def take_back(self) -> None:
        for owned in reversed(self._owned):
            self._ownership.after.remove(owned.after)

    def settle(self) -> None:
        for owned in self._owned:
            owned.before = self._ownership.before.add(owned.rule)


class Removing(Planned):
    def __init__(self, ownership: Ownership, edit: RemoveRules) -> None:
        self._ownership, self._edit = ownership, edit
        self._owned = [ownership.of(number) for number in edit.handles]
        self.keys = _keys([owned.rule for owned in self._owned])
        for owned in self._owned:
            ownership.after.remove(owned.after)

    def carry_out(self) -> None:
        self._ownership.tell(RemoveRules(tuple(owned.at_ports for owned in self._owned)))

    def take_back(self) -> None:
        for owned in self._owned:
            self._ownership.after.add_again(owned.rule, owned.after)

    def settle(self) -> None:
        for number, owned in zip(self._edit.handles, self._owned, strict=True):
            self._ownership.before.remove(owned.before)
            self._ownership.forget(number)


class MovingBuckets(Planned):
    def __init__(self, ownership: Ownership, edit: MoveBucket | MoveBuckets, queues: Mapping[int, int]) -> None:
        self._ownership, self._edit, self._queues = ownership, edit, queues
        ownership.after.check(queues)
        self._before = {bucket: ownership.tables[1].queue_of(bucket) for bucket in queues}
        self.sources = frozenset(self._before.values())
        ownership.after.move_buckets(queues)

    def carry_out(self) -> None:
        self._ownership.tell(self._edit)

    def take_back(self) -> None:
        self._ownership.after.move_buckets(self._before)

    def settle(self) -> None:
        self._ownership.before.move_buckets(self._queues)
