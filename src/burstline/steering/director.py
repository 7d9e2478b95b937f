"""The software director: steering rules carried out by a `SteeringTable`, whatever the port can do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from burstline.state.rule import BadField
from burstline.state.steering_rules import Wildcard
from burstline.state.steering_table import MOST_COUNTERS, check_bucket
from burstline.state.steering_words import Decision
from burstline.steering.back_end import CannotSteer, Limits
from burstline.steering.rule import SteeringRule
from burstline.steering.rule_table import RuleTable
from burstline.steering.software import decision_of, key_of, queues_of, wildcards_of
from burstline.steering.target import Cores

SAFE_UPDATES = 200_000.0  # a second: a fraction of what `burstline bench director` sees beside two busy cores


@dataclass(frozen=True)
class Held:
    """A rule that is in force."""

    rule: SteeringRule
    rank: int  # the lowest decides
    counter: int  # 0: it does not count


class SoftwareDirector:
    """The back end that takes every rule. `core_queue` says which queue the worker of a core polls.

    Rules that name a whole flow key cost the same, however many there are; each other one costs time for all packets.
    """

    name = "software"

    def __init__(self, table: RuleTable, core_queue: Callable[[int], int] = lambda core: core) -> None:
        self.table, self._core_queue = table, core_queue
        self._held: dict[int, Held] = {}
        self._of_key: dict[bytes, list[int]] = {}  # handles of exact rules, the one in force first
        self._handles = itertools.count(1)
        self._counters = list(range(MOST_COUNTERS, 0, -1))  # that no rule in force counts by
        self._groups: list[tuple[int, ...]] = []  # of queues; none ever goes, so that each keeps its place

    def apply(self, rules: Iterable[SteeringRule]) -> list[int]:
        """These rules in place of all others, at once; returns their handles. Raises CannotSteer, which names the
        field, or TableFull, and leaves all as it was."""
        before = self._held, self._of_key, self._counters
        self._held, self._of_key, self._counters = {}, {}, list(self._counters)  # those in use count on until then
        try:
            handles = [self._hold(rule, next(self._handles), f"rule {k}") for k, rule in enumerate(rules)]
            exact = [held[0] for held in self._of_key.values()]
            ranks, decisions = [self._held[h].rank for h in exact], [self._decision(h) for h in exact]
            self.table.replace(self._wildcards(), self._groups, b"".join(self._of_key), ranks, decisions)
        except Exception:
            self._held, self._of_key, self._counters = before
            raise
        self._counters += [held.counter for held in before[0].values() if held.counter]
        return handles

    def add(self, rule: SteeringRule) -> int:
        """One more rule; returns its handle. Raises CannotSteer, which names the field, or TableFull."""
        return self._add(rule, next(self._handles))

    def add_again(self, rule: SteeringRule, handle: int) -> None:
        """A rule that was removed, with its handle and at its place. Raises TableFull."""
        self._add(rule, handle)
        self._held = dict(sorted(self._held.items()))

    def _add(self, rule: SteeringRule, handle: int) -> int:
        self._hold(rule, handle, "steering rule")
        try:
            self._publish(handle)
        except Exception:
            self._forget(handle)
            raise
        return handle

    def remove(self, handle: int) -> None:
        """The rule of this handle goes. KeyError where there is none."""
        rule = self._held[handle].rule
        self._forget(handle)
        if not rule.is_exact:
            self.table.set_wildcards(self._wildcards(), self._groups)
            return
        key = key_of(rule)
        if key in self._of_key:
            self._publish(self._of_key[key][0])
        else:
            self.table.remove(key)

    def counts(self) -> dict[int, tuple[int, int]]:
        """Packets and bytes that each rule with `count` decided over, since it was added."""
        return {h: self.table.counted(held.counter) for h, held in self._held.items() if held.counter}

    def rules(self) -> dict[int, SteeringRule]:
        """All that are in force, by handle."""
        return {handle: held.rule for handle, held in self._held.items()}

    @property
    def limits(self) -> Limits:
        exact = self.table.exact
        return Limits(exact.flows - len(exact), None, SAFE_UPDATES, self.table.buckets)

    def set_reta(self, queues: list[int]) -> None:
        self.table.set_reta(queues)

    def move_bucket(self, bucket: int, queue: int) -> None:
        self.table.move_bucket(bucket, queue)

    def move_buckets(self, queues: Mapping[int, int]) -> None:
        self.check(queues)
        for bucket, queue in queues.items():
            self.table.move_bucket(bucket, queue)

    def check(self, queues: Mapping[int, int]) -> None:
        """Raises UsageError where there is no such bucket, or no such queue."""
        for bucket, queue in queues.items():
            check_bucket(bucket, queue, self.table.buckets, self.table.queues)

    def close(self) -> None:
        """No rule any more."""
        self.apply([])

    def _hold(self, rule: SteeringRule, handle: int, where: str) -> int:
        try:
            if rule.count and not self._counters:
                raise BadField("count", f"more than {MOST_COUNTERS:,} rules count", "let fewer do")
            decision_of(rule, self.table.queues, self._core_queue, 0)
            self._place_group(rule)
        except BadField as error:
            raise CannotSteer(error.name, error.problem, error.hint, where) from None
        counter = self._counters.pop() if rule.count else 0
        self.table.restart(counter)
        self._held[handle] = Held(rule, rule.priority << 32 | handle, counter)
        if rule.is_exact:
            same = self._of_key.setdefault(key_of(rule), [])
            same.append(handle)
            same.sort(key=lambda h: self._held[h].rank)
        return handle

    def _forget(self, handle: int) -> None:
        held = self._held.pop(handle)
        self._counters += [held.counter] if held.counter else []
        if held.rule.is_exact:
            key = key_of(held.rule)
            self._of_key[key].remove(handle)
            if not self._of_key[key]:
                del self._of_key[key]

    def _publish(self, handle: int) -> None:
        rule = self._held[handle].rule
        if not rule.is_exact:
            self.table.set_wildcards(self._wildcards(), self._groups)
            return
        if isinstance(rule.to, Cores):  # whose group may be new
            self.table.set_wildcards(self._wildcards(), self._groups)
        first = self._of_key[key_of(rule)][0]
        self.table.put(key_of(rule), [self._held[first].rank], [self._decision(first)])

    def _place_group(self, rule: SteeringRule) -> None:
        if isinstance(rule.to, Cores) and len(rule.to.numbers) > 1:
            group = tuple(queues_of(rule.to, self._core_queue))
            if group not in self._groups:
                self._groups.append(group)

    def _decision(self, handle: int) -> Decision:
        rule, counter = self._held[handle].rule, self._held[handle].counter
        made = decision_of(rule, self.table.queues, self._core_queue, counter)
        if isinstance(rule.to, Cores) and len(rule.to.numbers) > 1:
            number = self._groups.index(tuple(queues_of(rule.to, self._core_queue)))
            place = sum(1 + len(group) for group in self._groups[:number])
            return replace(made, group=place)
        return made

    def _wildcards(self) -> list[Wildcard]:
        others = [(handle, held) for handle, held in self._held.items() if not held.rule.is_exact]
        return [w for h, held in others for w in wildcards_of(held.rule, held.rank, self._decision(h))]
