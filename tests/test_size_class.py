"""A size class grows and shrinks: what is handed out has memory, what was given back has none, and chunks come free."""

from __future__ import annotations

import ctypes
import errno
import mmap
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from burstline.buffers import chunks as chunks_of
from burstline.buffers.chunks import OwnChunks
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.magazines import Magazines
from burstline.buffers.size_class import SizeClass
from burstline.errors import BurstlineError

SIZE, PER_CHUNK, CORES = 2048, 32, 2
COUNTS = st.one_of(st.integers(0, 70), st.sampled_from([PER_CHUNK, 256, 400]))
linux = pytest.mark.skipif(sys.platform != "linux", reason="mincore and madvise as Linux has them")


def made(most: int) -> tuple[OwnChunks, Magazines, SizeClass]:
    chunks = OwnChunks(SIZE, most)
    assert (chunks.per_chunk, chunks.bytes) == (PER_CHUNK, SIZE * PER_CHUNK)
    magazines = Magazines(chunks.count * chunks.per_chunk, CORES)
    return chunks, magazines, SizeClass(chunks, magazines)


def resident(chunks: OwnChunks) -> Any:
    """Bytes of each chunk that are in memory, as the kernel says (mincore(2))."""
    length = chunks.end - chunks.start
    pages = (ctypes.c_ubyte * (length // mmap.PAGESIZE))()
    done = ctypes.CDLL(None).mincore(ctypes.c_void_p(chunks.start), ctypes.c_size_t(length), pages)
    assert done == 0
    there = np.frombuffer(pages, np.uint8) & 1
    return there.reshape(chunks.count, -1).sum(axis=1) * mmap.PAGESIZE


def word(address: int) -> Any:
    return ctypes.c_uint64.from_address(address)


class Model(RuleBasedStateMachine):
    """Beside sets of buffers, the model has what was written to each one's memory, and the kernel's word for which
    memory is there."""

    @initialize(most=st.sampled_from([32, 100, 320, 700]), n=COUNTS)
    def make(self, most: int, n: int) -> None:
        self.chunks, self.magazines, self.made = made(most)
        self.most = self.chunks.count * PER_CHUNK
        self.taken: list[int] = []
        self.written: dict[int, int] = {}
        self.stamp = 1
        self.grow(n)

    def chunk(self, address: int) -> int:
        return (address - self.chunks.start) // self.chunks.bytes

    @rule(n=COUNTS)
    def grow(self, n: int) -> None:
        free, parked = self.made.free, self.made.parked
        got = self.made.grow(n)
        assert self.made.free == free + got
        assert min(n, self.most - free - len(self.taken)) <= got < n + PER_CHUNK
        assert self.made.parked == max(0, parked - n)

    @rule(n=COUNTS)
    def shrink(self, n: int) -> None:
        """Of the depot's, as the caller answers for."""
        usable, parked = self.made.usable, self.made.parked
        there = resident(self.chunks) > 0
        got = self.made.shrink(n)
        gone = there & (resident(self.chunks) == 0)
        assert got == gone.sum() * PER_CHUNK
        assert usable - self.made.usable == self.made.parked + got - parked <= n
        for address in [a for a in self.written if gone[self.chunk(a)]]:
            del self.written[address]
        assert not any(gone[self.chunk(a)] for a in self.taken), "memory that somebody uses stays"

    @rule(core=st.integers(0, CORES - 1), n=COUNTS)
    def take(self, core: int, n: int) -> None:
        there = resident(self.chunks)
        for address in self.magazines.take(core, n).tolist():
            assert (address - self.chunks.start) % SIZE == 0
            assert there[self.chunk(address)] == self.chunks.bytes, "memory is there before a buffer is handed out"
            assert word(address).value == word(address + SIZE - 8).value == self.written.get(address, 0)
            word(address).value = word(address + SIZE - 8).value = self.written[address] = self.stamp
            self.stamp += 1
            self.taken.append(address)
        assert len(set(self.taken)) == len(self.taken)

    @rule(core=st.integers(0, CORES - 1), n=COUNTS, order=st.randoms(use_true_random=False))
    def give(self, core: int, n: int, order: Any) -> None:
        order.shuffle(self.taken)
        given, self.taken = self.taken[:n], self.taken[n:]
        assert all(word(a).value == word(a + SIZE - 8).value == self.written[a] for a in given)
        self.magazines.give(core, given)

    @rule()
    def tidy(self) -> None:
        usable, there, parked = self.made.usable, resident(self.chunks) > 0, self.made.parked
        got = self.made.tidy()
        gone = there & (resident(self.chunks) == 0)
        assert got == gone.sum() * PER_CHUNK
        assert got or (usable, parked) == (self.made.usable, self.made.parked)
        assert self.made.free >= (usable - len(self.taken)) * 3 // 4
        for address in [a for a in self.written if gone[self.chunk(a)]]:
            del self.written[address]

    @rule(core=st.integers(0, CORES - 1))
    def hand_in(self, core: int) -> None:
        self.magazines.hand_in(core)

    @invariant()
    def what_it_says_is_so(self) -> None:
        made = self.made
        assert made.memory == resident(self.chunks).sum()
        assert made.populated * SIZE == made.memory
        assert made.populated == made.usable + made.parked <= made.most == self.most
        assert made.in_use == len(self.taken)
        assert made.free == made.usable - len(self.taken)

    def teardown(self) -> None:
        if not hasattr(self, "made"):
            return
        self.magazines.give(0, self.taken)
        for core in range(CORES):
            self.magazines.hand_in(core)
        assert self.made.shrink(self.made.free) % PER_CHUNK == 0
        assert (self.made.memory, resident(self.chunks).sum()) == (0, 0), "nothing is left when all was given back"
        assert (self.made.populated, self.made.parked, self.magazines.added) == (0, 0, 0)


@linux
class TestModel(Model.TestCase):
    settings = settings(max_examples=30, stateful_step_count=25, deadline=None)


def mixed(most: int, stay: int) -> tuple[OwnChunks, Magazines, SizeClass, Any]:
    """A class whose free buffers lie in the depot in no order, and some that stay in use."""
    chunks, magazines, one = made(most)
    one.grow(most)
    all_of_them = np.random.default_rng(7).permutation(magazines.take(0, most))
    rest = all_of_them[stay:]
    for k in range(0, len(rest), 32):
        magazines.give(1, rest[k : k + 32])
    magazines.hand_in(0)
    magazines.hand_in(1)
    return chunks, magazines, one, all_of_them[:stay]


@pytest.mark.parametrize(("stay", "spare"), [(0, 0), (5, 0), (5, 300), (60, 600)])
def test_memory_comes_down_to_the_chunks_that_are_in_use_at_the_first_call(stay: int, spare: int) -> None:
    """No chunk is kept for what could lie in another: the spare ones lie in as few as they can."""
    chunks, _, one, kept = mixed(4096, stay)
    held = len(set(chunks.place(kept)[0].tolist()))
    one.shrink(one.free - spare)
    assert one.memory // chunks.bytes <= held + -(-spare // PER_CHUNK) + 1
    assert one.usable >= stay + spare
    assert one.shrink(0) == 0, "and there is nothing more to gain"


def test_little_by_little_memory_comes_down_as_far() -> None:
    chunks, _, one, kept = mixed(4096, 5)
    for _ in range(4096 // 10):
        one.shrink(min(10, one.free - 300))
    assert one.memory // chunks.bytes <= len(set(chunks.place(kept)[0].tolist())) + 300 // PER_CHUNK + 2


def test_parked_buffers_are_not_handed_out_and_come_back_first() -> None:
    chunks, magazines, one, kept = mixed(256, 1)
    one.shrink(one.free)
    assert (one.populated, one.parked, one.usable) == (PER_CHUNK, PER_CHUNK - 1, 1)
    assert len(magazines.take(0, 1)) == 0
    memory = one.memory
    assert one.grow(PER_CHUNK - 1) == PER_CHUNK - 1
    assert (one.parked, one.memory) == (0, memory)
    mine = magazines.take(0, PER_CHUNK - 1)
    assert set(chunks.place(mine)[0].tolist()) == set(chunks.place(kept)[0].tolist())


def test_a_chunk_whose_last_buffer_comes_back_is_released_by_tidying() -> None:
    chunks, magazines, one, kept = mixed(4096, 5)
    assert len(set(chunks.place(kept)[0].tolist())) == 5
    assert one.tidy() == 0, "nothing is parked"
    one.shrink(one.free)
    assert (one.usable, one.parked) == (5, 5 * (PER_CHUNK - 1))
    assert one.tidy() == 0, "there is nothing to gain"
    for left, gone, address in zip((4, 3, 2, 1, 1), (1, 1, 1, 1, 0), kept.tolist(), strict=True):
        magazines.give(0, [address])
        magazines.hand_in(0)
        assert one.tidy() == gone * PER_CHUNK
        assert one.memory == left * chunks.bytes
        assert one.usable == 5, "no fewer can be taken"


def test_tidying_takes_no_more_than_a_quarter_of_what_is_free() -> None:
    _, magazines, one, kept = mixed(4 * PER_CHUNK, 1)
    one.shrink(one.free - 20)
    magazines.give(0, kept)
    magazines.hand_in(0)
    before = one.usable
    one.tidy()
    assert one.usable >= before * 3 // 4


def test_no_more_than_there_may_be() -> None:
    chunks, magazines, one = made(100)
    assert one.grow(10**6) == one.most == chunks.count * PER_CHUNK == 128
    assert one.grow(1) == 0
    assert len(magazines.take(0, 129)) == 0
    assert len(magazines.take(0, 128)) == 128


def test_buffers_that_were_there_before_stay_for_good() -> None:
    """Those of a mempool's own memory."""
    before = OwnChunks(SIZE, PER_CHUNK)

    class Own(OwnChunks):
        def place(self, addresses: Any) -> tuple[Any, Any]:
            chunk, within = super().place(addresses)
            return np.where((addresses >= self.start) & (addresses < self.end), chunk, -1), within

    chunks = Own(SIZE, 64)
    magazines = Magazines(PER_CHUNK + 64, 1)
    magazines.add(before.populate(0))
    one = SizeClass(chunks, magazines)
    assert (one.fixed, one.most) == (PER_CHUNK, PER_CHUNK + 64)
    assert one.grow(64) == 64
    assert one.shrink(one.free) == 64
    assert (one.populated, one.memory) == (PER_CHUNK, 0)
    none = SizeClass(OwnChunks(SIZE, 0), magazines)
    assert (none.grow(9), none.shrink(9), none.most) == (0, 0, PER_CHUNK)
    left = magazines.take(0, PER_CHUNK)
    assert sorted(left.tolist()) == before.populate(0).tolist()


@linux
def test_no_memory_is_an_error_and_no_buffer_of_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    _, magazines, one = made(64)
    monkeypatch.setattr(chunks_of, "_madvise", lambda address, length, advice: errno.ENOMEM)
    with pytest.raises(BurstlineError, match="no memory for 32 buffers of 2048 bytes"):
        one.grow(1)
    assert (one.populated, one.memory, magazines.added) == (0, 0, 0)


def test_what_was_populated_before_memory_ran_out_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, magazines, one = made(3 * PER_CHUNK)
    populate = chunks.populate

    def scarce(chunk: int) -> Any:
        if chunk == 2:
            raise BurstlineError("no memory")
        return populate(chunk)

    monkeypatch.setattr(chunks, "populate", scarce)
    with pytest.raises(BurstlineError):
        one.grow(3 * PER_CHUNK)
    assert (one.populated, one.usable) == (2 * PER_CHUNK, 2 * PER_CHUNK)
    assert len(magazines.take(0, 2 * PER_CHUNK)) == 2 * PER_CHUNK


def test_new_buffers_come_in_full_magazines() -> None:
    _, magazines, one = made(20 * ROUNDS)
    one.grow(20 * ROUNDS)
    taken = one.usable // 32
    for _ in range(taken):
        assert len(magazines.take(0, 32)) == 32
    assert magazines.count(0).from_depot <= 20 + 4


@linux
def test_a_kernel_that_cannot_populate_has_pages_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, _, one = made(64)
    monkeypatch.setattr(chunks_of, "_madvise", lambda address, length, advice: errno.EINVAL)
    assert one.grow(33) == 64
    assert resident(chunks).tolist() == [chunks.bytes] * 2


@pytest.mark.parametrize("size", [64, 640, 4096, 9216, 70_000 // 64 * 64])
def test_places_are_those_of_the_addresses(size: int) -> None:
    chunks = OwnChunks(size, 100)
    assert chunks.count * chunks.per_chunk >= 100
    for chunk in range(chunks.count):
        addresses = chunks.populate(chunk)
        assert len(addresses) == chunks.per_chunk
        assert (np.diff(addresses) == size).all()
        assert chunks.start <= addresses[0]
        assert addresses[-1] + size <= chunks.end
        found, within = chunks.place(addresses)
        assert found.tolist() == [chunk] * chunks.per_chunk
        assert within.tolist() == list(range(chunks.per_chunk))
        assert len(chunks.room(int(addresses[-1]))) == size
