"""Magazines keep what they are given: nothing is handed out twice or lost, whoever frees what, in whatever order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from burstline.buffers.magazine import LINE, MAGAZINE, ROUNDS, CoreCache, Depot
from burstline.buffers.magazines import REACH, Magazines
from burstline.errors import BurstlineError
from depot_contents import Contents, Reader

START = 0x7F00_0000_0000  # of buffers that nobody touches: magazines hold addresses
TAGS = (0, 2**31 - 1, 2**31 - 40, 2**32 - 1, 2**32 - 40)  # of heads that soon carry into the sign, or wrap
SOME = st.one_of(st.integers(0, 40), st.sampled_from([31, 32, 64, 255, 256, ROUNDS - 1, ROUNDS, ROUNDS + 1, 600]))


def signed(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word


def addresses(first: int, n: int) -> Any:
    return START + LINE * np.arange(first, first + n, dtype=np.int64)


class Model(RuleBasedStateMachine):
    """The model is two sets, of buffers that are taken and of those that are free; the memory of the magazines is read
    beside it, which says where the free ones are."""

    @initialize(
        most=st.sampled_from([1, 8, 100, 700, 3000]), cores=st.integers(1, 3), tag=st.sampled_from(TAGS), n=SOME
    )
    def make(self, most: int, cores: int, tag: int, n: int) -> None:
        self.magazines = Magazines(most, cores)
        self.control = cores
        self.reader = Reader(self.magazines)
        head = signed(tag << 32)
        self.magazines._depot.set(full=head, empty=head, aside=head)
        for core in range(cores + 1):
            self.magazines._set(core, reserve=head)
        self.taken: list[int] = []
        self.out = [int(a) for a in addresses(0, most)]  # not added, or withdrawn
        self.free: set[int] = set()
        self.failed = [0] * (cores + 1)
        self.add(n)

    def contents(self) -> Contents:
        return self.reader.contents()

    @rule(n=SOME)
    def add(self, n: int) -> None:
        new, self.out = self.out[:n], self.out[n:]
        self.magazines.add(np.array(new, np.int64))
        self.free.update(new)

    @rule(core=st.integers(0, 3), n=SOME)
    def take(self, core: int, n: int) -> None:
        core %= self.control + 1
        there = self.contents().within_reach(core)
        found = self.magazines.take(core, n).tolist()
        assert len(found) == (n if n <= there else 0), "all of them, and none only where there are not so many"
        assert len(set(found)) == len(found)
        assert self.free.issuperset(found), "nothing is handed out twice"
        self.failed[core] += n - len(found)
        self.free.difference_update(found)
        self.taken += found

    @rule(core=st.integers(0, 3), n=SOME, order=st.randoms(use_true_random=False))
    def give(self, core: int, n: int, order: Any) -> None:
        """Any of those that are taken, in any order, on any core."""
        order.shuffle(self.taken)
        given, self.taken = self.taken[:n], self.taken[n:]
        self.magazines.give(core % (self.control + 1), given)
        self.free.update(given)

    @rule(core=st.integers(0, 3))
    def hand_in(self, core: int) -> None:
        core %= self.control + 1
        self.magazines.hand_in(core)
        found = self.contents()
        assert found.cached[core] == found.reserved[core] == []

    @rule(core=st.integers(0, 3), magazines=st.integers(0, 3))
    def top_up(self, core: int, magazines: int) -> None:
        core %= self.control + 1
        before = self.contents()
        done = self.magazines.top_up(core, magazines)
        after = self.contents()
        moved = len(after.reserved[core]) - len(before.reserved[core])
        assert done <= magazines
        assert (done < magazines) <= (not after.depot), "fewer only where the depot has no more"
        assert done <= moved <= done * ROUNDS
        assert len(before.depot) - len(after.depot) == moved

    @rule(n=SOME)
    def withdraw(self, n: int) -> None:
        there = self.contents().within_reach(self.control)
        found = self.magazines.withdraw(n).tolist()
        assert len(found) == min(n, there)
        assert self.free.issuperset(found)
        self.free.difference_update(found)
        self.out += found

    @rule(of=st.integers(1, 9))
    def pick(self, of: int) -> None:
        """Chosen by their addresses, of all that the depot has."""
        self.magazines.hand_in(self.control)
        there = self.contents().depot
        assert sorted(self.magazines.peek().tolist()) == sorted(there)
        asked: list[int] = []

        def wanted(some: Any) -> Any:
            asked.extend(some.tolist())
            return some // LINE % 9 < of - 1

        found = self.magazines.pick(wanted).tolist()
        assert sorted(asked) == sorted(there), "each is asked about once"
        assert sorted(found) == sorted(a for a in there if a // LINE % 9 < of - 1)
        self.free.difference_update(found)
        self.out += found

    @invariant()
    def nothing_is_lost(self) -> None:
        found = self.contents()
        assert sorted(found.all) == sorted(self.free), "each free buffer is in one place"
        assert self.magazines.added == len(self.free) + len(self.taken)
        assert self.magazines.in_use == len(self.taken)
        assert self.magazines.cached == sum(map(len, found.cached))
        for core, failed in enumerate(self.failed[:-1]):
            count = self.magazines.count(core)
            assert (count.failed, count.cached) == (failed, len(found.cached[core]))

    def teardown(self) -> None:
        if not hasattr(self, "magazines"):
            return
        self.magazines.give(0, self.taken)
        for core in range(self.control + 1):
            self.magazines.hand_in(core)
        assert set(self.magazines.withdraw(10**6).tolist()) == self.free | set(self.taken), "all of them come back"
        assert (self.magazines.added, self.magazines.in_use, self.magazines.cached) == (0, 0, 0)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


# ---- one by one ----


def test_a_buffer_that_was_given_back_last_is_taken_first() -> None:
    """It is in the core's cache."""
    magazines = Magazines(1000, 1)
    magazines.add(addresses(0, 1000))
    first = magazines.take(0, 32)
    magazines.give(0, first)
    assert magazines.take(0, 32).tolist() == first.tolist()


@pytest.mark.parametrize("burst", [1, 32, 256])
def test_a_core_that_takes_and_gives_leaves_the_depot_alone(burst: int) -> None:
    magazines = Magazines(4096, 1)
    magazines.add(addresses(0, 4096))
    for _ in range(4):  # the magazines come to it
        magazines.give(0, magazines.take(0, burst))
    before = magazines.count(0)
    for _ in range(200):
        magazines.give(0, magazines.take(0, burst))
    after = magazines.count(0)
    assert (after.from_depot, after.to_depot) == (before.from_depot, before.to_depot)
    assert after.taken - before.taken == 200 * burst


@pytest.mark.parametrize("burst", [32, 256])
def test_buffers_taken_by_one_core_and_given_by_another_cost_a_transfer_for_each_64_at_most(burst: int) -> None:
    magazines = Magazines(1 << 14, 2)
    magazines.add(addresses(0, 1 << 14))
    way: list[Any] = []

    def step() -> None:
        way.append(magazines.take(0, burst))
        assert len(way[-1]) == burst
        if len(way) > 3:  # as much as a ring between them holds
            magazines.give(1, way.pop(0))

    for _ in range(2 * ROUNDS):
        step()
    before = [magazines.count(core) for core in range(2)]
    steps = 64 * ROUNDS // burst
    for _ in range(steps):
        step()
    after = [magazines.count(core) for core in range(2)]
    transfers = sum(a.transfers - b.transfers for a, b in zip(after, before, strict=True))
    exchanges = after[0].from_depot - before[0].from_depot + after[1].to_depot - before[1].to_depot
    buffers = steps * burst
    assert exchanges * ROUNDS >= 2 * (buffers - 2 * ROUNDS)  # or these buffers did not go by the depot
    assert transfers * 64 <= buffers
    assert all(count.failed == 0 for count in after)


def test_what_is_not_picked_keeps_its_order_and_can_be_taken_meanwhile() -> None:
    magazines = Magazines(8 * ROUNDS, 1, ROUNDS)
    for k in range(8):
        magazines.add(addresses(k * ROUNDS, ROUNDS))
    had = []

    def wanted(some: Any) -> Any:
        """Called as the last of eight, where six are laid aside."""
        if len(had) == 7:
            got = magazines.take(0, 6 * ROUNDS)
            assert len(got) == 6 * ROUNDS
            assert len(magazines.take(0, 1)) == 0
            magazines.give(0, got[ROUNDS:])
            magazines.hand_in(0)
            magazines.give(0, got[:ROUNDS])
        had.append(int(some[0] - START) // LINE // ROUNDS)
        return np.zeros(len(some), bool) if len(had) != 2 else np.ones(len(some), bool)

    found = magazines.pick(wanted)
    assert sorted(had[:8]) == list(range(8))
    assert {int(a - START) // LINE // ROUNDS for a in found} == {had[1]}


@pytest.mark.parametrize("count", [128, 448, 2000, 4000, 10_000])
def test_a_core_keeps_an_eighth_of_a_class_at_most(count: int) -> None:
    magazines = Magazines(count, 2)
    magazines.add(addresses(0, count))
    for burst in (1, 32, 7):
        for some in [magazines.take(0, burst) for _ in range(count // burst)]:
            magazines.give(0, some)
    kept = magazines.count(0).cached
    assert 0 < kept <= min(count // 8, 2 * ROUNDS)
    assert len(magazines.take(1, count - kept)) == count - kept


def test_a_reserve_is_taken_from_when_the_depot_has_nothing() -> None:
    magazines = Magazines(2 * ROUNDS, 2, ROUNDS)
    magazines.add(addresses(0, 2 * ROUNDS))
    assert magazines.top_up(1, 5) == 2
    assert len(magazines.take(0, 1)) == 0
    assert len(magazines.take(1, 2 * ROUNDS)) == 2 * ROUNDS
    assert (magazines.count(1).from_reserve, magazines.count(1).from_depot) == (2, 0)
    assert (magazines.count(0).failed, magazines.count(1).failed) == (1, 0)


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    magazines = Magazines(10, 1)
    magazines.add(addresses(0, 8))
    for wrong, why in (
        (addresses(8, 3), "room for 10"),
        (addresses(0, 1) + 2 * REACH, "too far"),
        (addresses(0, 1) - REACH - LINE, "too far"),
        (addresses(8, 1) + 8, "start of a cache line"),
    ):
        with pytest.raises(BurstlineError, match=why):
            magazines.add(wrong)
    assert magazines.added == 8
    assert sorted(magazines.withdraw(20).tolist()) == addresses(0, 8).tolist()


@given(
    first=st.integers(2**31, 2**41).map(lambda k: LINE * k),
    away=st.lists(st.integers(-REACH // LINE, REACH // LINE - 1), unique=True, min_size=1, max_size=40),
)
@settings(max_examples=30, deadline=None)
def test_handles_reach_to_both_ends_of_what_is_allowed(first: int, away: list[int]) -> None:
    magazines = Magazines(41, 1)
    new = np.unique(np.array([first, *(first + LINE * k for k in away)], np.int64))
    magazines.add(np.concatenate(([first], new[new != first])))
    assert sorted(magazines.take(0, len(new)).tolist()) == new.tolist()


def test_magazines_that_all_are_in_use_are_waited_for_and_none_is_made_up() -> None:
    """Where cores look for an empty one at the same time, more may be asked for than there are."""
    magazines = Magazines(1, 1)
    magazines.add(addresses(0, 1))
    reader = Reader(magazines)
    numbers = reader.field("numbers")
    magazines._depot.set(fresh=numbers + 7)
    for _ in range(20):
        magazines.give(0, magazines.take(0, 1))
        magazines.hand_in(0)
    assert reader.field("fresh") == numbers + 7
    assert magazines.withdraw(1).tolist() == addresses(0, 1).tolist()
    assert magazines.memory == numbers * MAGAZINE + magazines._caches.size


def test_what_each_call_touches_is_one_line_of_the_core_and_nothing_that_others_write() -> None:
    at = {slot.name: slot.offset // LINE for slot in CoreCache.layout}
    each_call = {at[name] for name in ("loaded", "count", "low", "high", "base", "taken", "given")}
    assert len(each_call) == 1
    assert at["reserve"] not in each_call
    shared = {slot.name: slot.offset // LINE for slot in Depot.layout}
    assert shared["full"] != shared["magazines"]
