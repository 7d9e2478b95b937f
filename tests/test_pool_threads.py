"""Threads that take, pass on and give buffers at the same time, while the pool grows and shrinks: each buffer has one
owner at a time, and none is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from burstline.buffers.chunks import OwnChunks
from burstline.buffers.magazine import LINE, ROUNDS, CoreCache, Depot
from burstline.buffers.magazines import Magazines, _lay_aside
from burstline.buffers.size_class import SizeClass
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block, Region
from depot_contents import Reader
from pool_threads_kernel import SLOTS

SIZE = 256
THREADS = 2


class Work(Struct):
    """What one thread does, and what it found."""

    rounds: i64
    seed: i64
    some: i64  # memory for the addresses of a burst
    start: i64  # of the buffers
    marks: i64  # a word for each line of theirs: how many threads own the buffer there
    inbox: i64
    outbox: i64
    done: i64  # address of a word
    other_done: i64
    failed: i64
    twice: i64  # buffers that had two owners
    overwritten: i64  # or whose memory changed while they had one


churn = Kernel("pool_threads_kernel:churn", CoreCache, Work)
restack = Kernel("pool_threads_kernel:restack", Depot, int, Work)


class Threads:
    """Two that run `churn` on a class, each passing buffers to the other, and the caller beside them."""

    def __init__(self, made: SizeClass, start: int, end: int, rounds: int) -> None:
        churn.load()
        self.magazines = made.magazines
        self.given = [0] * THREADS
        self.marks = Region((end - start) // LINE * 8)
        rings = [Region(128 + 8 * SLOTS) for _ in range(THREADS)]
        done = Region(THREADS * LINE)
        self.kept = [rings, done]
        self.work = []
        for k in range(THREADS):
            some = Region(8 * 256)
            self.kept.append([some])
            work = Block(Work.layout)
            work.set(
                rounds=rounds, seed=0x9E3779B9 + k, some=some.address, start=start, marks=self.marks.address,
                inbox=rings[k].address, outbox=rings[1 - k].address, done=done.address + k * LINE,
                other_done=done.address + (1 - k) * LINE,
            )  # fmt: skip
            self.work.append(work)
        self.threads = [threading.Thread(target=self.run, args=(k,)) for k in range(THREADS)]

    def run(self, core: int) -> None:
        self.given[core] = churn(self.magazines.cache(core), self.work[core].address)

    def meanwhile(self) -> Iterator[int]:
        """Numbers, for as long as they run."""
        for thread in self.threads:
            thread.start()
        turn = 0
        while any(thread.is_alive() for thread in self.threads):
            yield turn
            turn += 1
        for thread in self.threads:
            thread.join()

    def found(self, name: str) -> int:
        return sum(work.get(name) for work in self.work)


@pytest.mark.parametrize(
    ("most", "rounds"), [(1024, 60_000), (8192, 60_000)], ids=["where there are hardly enough", "where there are many"]
)
def test_each_buffer_has_one_owner_while_the_pool_grows_and_shrinks(most: int, rounds: int) -> None:
    chunks = OwnChunks(SIZE, most)
    most = chunks.count * chunks.per_chunk
    magazines = Magazines(most, THREADS)
    made = SizeClass(chunks, magazines)
    made.grow(most)
    threads = Threads(made, chunks.start, chunks.end, rounds)
    released = 0
    for turn in threads.meanwhile():
        magazines.top_up(turn % THREADS, 1)
        released += made.shrink(most // 4)
        magazines.give(magazines.control, magazines.take(magazines.control, 1 + turn % 300))
        magazines.add(magazines.withdraw(turn % 500))
        made.grow(most // 3)
    assert threads.found("twice") == 0
    assert threads.found("overwritten") == 0
    assert sum(threads.given) >= rounds  # bursts of 17 buffers and more, where they are to be had
    assert sum(magazines.count(core).given for core in range(THREADS)) == sum(threads.given)
    assert magazines.in_use == 0
    assert sorted(Reader(magazines).contents().all) == sorted(set(Reader(magazines).contents().all))
    assert len(Reader(magazines).contents().all) == made.populated - made.parked
    made.grow(most)
    for core in range(THREADS):
        magazines.hand_in(core)
    everything = magazines.withdraw(most).tolist()
    assert sorted(everything) == [
        chunks.start + c * chunks.bytes + k * SIZE for c in range(chunks.count) for k in range(chunks.per_chunk)
    ]


def test_stacks_stay_whole_under_threads_and_past_the_end_of_their_tags() -> None:
    """A thread that saw a magazine on top, and the same one again after others were there, must not take its word for
    what is below: without the tags this fails."""
    count, rounds = 8, 400_000
    magazines = Magazines(count * ROUNDS, THREADS)
    magazines._depot.set(aside=-200_000 << 32)
    magazines.add(0x7F00_0000_0000 + LINE * np.arange(count * ROUNDS))
    reader = Reader(magazines)
    depot = magazines._depot.address
    aside = depot + Depot.layout.offset("aside")
    for _ in range(count):
        some = magazines.withdraw(ROUNDS)
        _lay_aside(magazines.cache(magazines.control), some.ctypes.data, ROUNDS)
    marks = Region(8 * (reader.field("numbers") + 1))
    works = [Block(Work.layout) for _ in range(THREADS)]
    for work in works:
        work.set(rounds=rounds, marks=marks.address)
    restack.load()
    found = [0] * THREADS

    def run(k: int) -> None:
        found[k] = restack(depot, aside, works[k].address)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(work.get("twice") for work in works) == 0
    assert sum(found) == 3 * THREADS * rounds  # there are two more than they have at a time
    assert 0 < reader.field("aside") >> 32 < 1 << 31  # it began below 0
    assert sorted(reader.contents().all) == sorted(set(reader.contents().all))
    assert len(reader.contents().all) == count * ROUNDS
