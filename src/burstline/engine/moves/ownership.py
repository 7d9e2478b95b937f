"""Which worker has which flow: by the rules that count now, and by those that come. Edits go the way from the ports'
back ends to both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from burstline.errors import BurstlineError, UsageError
from burstline.state.steering_table import SteeringTable
from burstline.steering.back_end import BackEnd, add_together
from burstline.steering.director import SoftwareDirector
from burstline.steering.edit import AddRules, Edit, MoveBucket, RemoveRules, ReplaceRules
from burstline.steering.rule import SteeringRule
from burstline.steering.software import key_of


@dataclass
class Owned:
    """A rule, with its handle in both tables and at each back end."""

    rule: SteeringRule
    before: int = 0
    after: int = 0
    at: tuple[int, ...] = ()


class Ownership:
    """`back_ends` are those of all ports that packets come from; they have `rules` in force, in this order, with these
    handles at each, and both tables get them, too."""

    def __init__(
        self,
        back_ends: Sequence[BackEnd],
        before: SteeringTable,
        after: SteeringTable,
        core_queue: Callable[[int], int],
        rules: Sequence[SteeringRule],
        handles: Sequence[Sequence[int]],
    ) -> None:
        self.back_ends = back_ends
        self.before, self.after = (SoftwareDirector(table, core_queue) for table in (before, after))
        self._numbers = itertools.count(1)
        self._owned: dict[int, Owned] = {}
        both = zip(rules, self.before.apply(rules), self.after.apply(rules), *handles, strict=True)
        for rule, old, new, *at in both:
            self._owned[next(self._numbers)] = Owned(rule, old, new, tuple(at))

    def rules(self) -> dict[int, SteeringRule]:
        """All in force, by handle."""
        return {number: owned.rule for number, owned in self._owned.items()}

    def planned(self, edit: Edit) -> Planned:
        """An edit of the rules that come. Raises what `SoftwareDirector` raises, and UsageError."""
        kinds = {AddRules: Adding, RemoveRules: Removing, ReplaceRules: Replacing, MoveBucket: MovingBucket}
        made: Planned = kinds[type(edit)](self, edit)
        return made

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

    def forget_all(self) -> None:
        self._owned = {}

    def at_all(
        self, do: Callable[[BackEnd, int], object], undo: Callable[[BackEnd, int, object], object]
    ) -> list[object]:
        """Have each back end `do` it, or none: those that have `undo` it."""
        found: list[object] = []
        try:
            for k, back_end in enumerate(self.back_ends):
                found.append(do(back_end, k))
        except BurstlineError:
            for k, done in enumerate(found):
                undo(self.back_ends[k], k, done)
            raise
        return found


def batches(edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    """Edits that can be carried out together, each or not: no two of the same rule or bucket, nor any with one of all
    rules."""
    batch: list[Edit] = []
    taken: set[object] = set()
    for edit in edits:
        match edit:
            case RemoveRules(handles):
                touched: set[object] = {("rule", handle) for handle in handles}
            case MoveBucket(bucket, _):
                touched = {("bucket", bucket)}
            case _:
                touched = set()
        if batch and (touched & taken or any(isinstance(each, ReplaceRules) for each in (edit, batch[0]))):
            yield batch
            batch, taken = [], set()
        batch.append(edit)
        taken |= touched
    if batch:
        yield batch


class Planned:
    """An edit that the coming rules have. `carry_out` at the back ends, all or none; then `settle`, or `take_back`."""

    handles: tuple[int, ...] = ()
    keys: bytes | None = None  # of all flows that it can move, where they are known

    def carry_out(self) -> None:
        raise NotImplementedError

    def take_back(self) -> None:
        raise NotImplementedError

    def settle(self) -> None:
        raise NotImplementedError


def _keys(rules: Sequence[SteeringRule]) -> bytes | None:
    return b"".join(map(key_of, rules)) if all(rule.is_exact for rule in rules) else None


class Adding(Planned):
    def __init__(self, ownership: Ownership, edit: AddRules) -> None:
        self._ownership, self.keys = ownership, _keys(edit.rules)
        self._owned = [Owned(rule) for rule in edit.rules]
        for owned, handle in zip(self._owned, add_together(ownership.after, edit.rules), strict=True):
            owned.after = handle

    def carry_out(self) -> None:
        rules = [owned.rule for owned in self._owned]

        def undo(back_end: BackEnd, k: int, handles: object) -> None:
            for handle in reversed(handles):  # type: ignore[call-overload]
                back_end.remove(handle)

        found = self._ownership.at_all(lambda back_end, k: add_together(back_end, rules), undo)
        for owned, at in zip(self._owned, zip(*found, strict=True), strict=True):
            owned.at = at
        self.handles = tuple(self._ownership.number(owned) for owned in self._owned)

    def take_back(self) -> None:
        for owned in reversed(self._owned):
            self._ownership.after.remove(owned.after)

    def settle(self) -> None:
        for owned in self._owned:
            owned.before = self._ownership.before.add(owned.rule)


class Removing(Planned):
    def __init__(self, ownership: Ownership, edit: RemoveRules) -> None:
        self._ownership, self._numbers = ownership, edit.handles
        self._owned = [ownership.of(number) for number in edit.handles]
        self.keys = _keys([owned.rule for owned in self._owned])
        for owned in self._owned:
            ownership.after.remove(owned.after)

    def carry_out(self) -> None:
        for owned in self._owned:

            def remove(back_end: BackEnd, k: int, owned: Owned = owned) -> None:
                back_end.remove(owned.at[k])

            def undo(back_end: BackEnd, k: int, _: object, owned: Owned = owned) -> None:
                owned.at = (*owned.at[:k], back_end.add(owned.rule), *owned.at[k + 1 :])

            self._ownership.at_all(remove, undo)

    def take_back(self) -> None:
        for owned in self._owned:
            owned.after = self._ownership.after.add(owned.rule)

    def settle(self) -> None:
        for number, owned in zip(self._numbers, self._owned, strict=True):
            self._ownership.before.remove(owned.before)
            self._ownership.forget(number)


class Replacing(Planned):
    def __init__(self, ownership: Ownership, edit: ReplaceRules) -> None:
        self._ownership, self._rules = ownership, edit.rules
        self._old = dict(ownership.rules())
        self._after = ownership.after.apply(edit.rules)

    def carry_out(self) -> None:
        def undo(back_end: BackEnd, k: int, _: object) -> None:
            for number, handle in zip(self._old, back_end.apply(self._old.values()), strict=True):
                owned = self._ownership.of(number)
                owned.at = (*owned.at[:k], handle, *owned.at[k + 1 :])

        found = self._ownership.at_all(lambda back_end, k: back_end.apply(self._rules), undo)
        self._ownership.forget_all()
        both = zip(self._rules, self._after, zip(*found, strict=True), strict=True)
        self.handles = tuple(self._ownership.number(Owned(rule, 0, after, at)) for rule, after, at in both)

    def take_back(self) -> None:
        for number, handle in zip(self._old, self._ownership.after.apply(self._old.values()), strict=True):
            self._ownership.of(number).after = handle

    def settle(self) -> None:
        for number, handle in zip(self.handles, self._ownership.before.apply(self._rules), strict=True):
            self._ownership.of(number).before = handle


class MovingBucket(Planned):
    def __init__(self, ownership: Ownership, edit: MoveBucket) -> None:
        self._ownership, self._edit = ownership, edit
        table = ownership.after.table
        assert isinstance(table, SteeringTable)
        self._queue = table.queue_of(edit.bucket)
        table.move_bucket(edit.bucket, edit.queue)

    def carry_out(self) -> None:
        bucket, queue = self._edit.bucket, self._edit.queue
        self._ownership.at_all(
            lambda back_end, k: back_end.move_bucket(bucket, queue),
            lambda back_end, k, _: back_end.move_bucket(bucket, self._queue),
        )

    def take_back(self) -> None:
        self._ownership.after.move_bucket(self._edit.bucket, self._queue)

    def settle(self) -> None:
        self._ownership.before.move_bucket(self._edit.bucket, self._edit.queue)
