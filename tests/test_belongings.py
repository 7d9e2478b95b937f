"""Memory is noted as its owner's when it is made, and is gone when nobody has it any more."""

from __future__ import annotations

import gc
import threading

import pytest

from burstline.engine.placement.belongings import Belongings, stack_of
from burstline.engine.worker import Entry
from burstline.numa import memory_policy
from burstline.numa.memory_policy import PAGE
from burstline.state.region import Block, Region

needs_policy = pytest.mark.skipif(not memory_policy.is_supported(), reason="the system takes no memory policy")


def test_regions_made_in_the_block_are_its_owners_until_they_are_gone() -> None:
    every = Belongings()
    owner = every.of("table flows of worker 0", "table", 0, None)
    with every.making(owner):
        region = Region(3 * PAGE)
    other = Region(PAGE)
    assert owner.ranges == [(region.address, 3 * PAGE)]
    assert other.address not in [start for each in every for start, _ in each.ranges]
    del region
    gc.collect()
    assert owner.ranges == []
    assert list(every) == []


def test_small_blocks_of_two_owners_share_no_page() -> None:
    every = Belongings()
    blocks = []
    for worker in (0, 1, 0):
        with every.making(every.of(f"memory of worker {worker}", "memory", worker, None)):
            blocks.append(Block(Entry.layout))
    blocks.append(Block(Entry.layout))
    pages = [block.address // PAGE for block in blocks]
    assert pages[0] != pages[1]
    assert pages[3] not in pages[:3]
    for owner, block in zip(("memory of worker 0", "memory of worker 1"), blocks, strict=False):
        ranges = every.of(owner, "memory", 0, None).ranges
        assert any(start <= block.address < start + size for start, size in ranges)


def test_another_threads_memory_is_not_noted() -> None:
    every, made = Belongings(), list[Region]()
    owner = every.of("memory of worker 0", "memory", 0, None)
    with every.making(owner):
        thread = threading.Thread(target=lambda: made.append(Region(PAGE)))
        thread.start()
        thread.join()
    assert owner.ranges == []


@needs_policy
def test_what_was_there_before_is_shared_and_told_once() -> None:
    every = Belongings()
    early, late = Region(PAGE), None
    own = every.of("table t of worker 0", "table", 0, 0)
    with every.making(own):
        late = Region(PAGE)
    shared = every.of("table t", "table", None, 0)
    every.found(shared, [(early.address, PAGE), (late.address, PAGE)], early)
    every.found(shared, [(early.address, PAGE)], early)
    assert shared.ranges == [(early.address, PAGE)]
    late.set_i64(0, 1)
    assert (own.pages(), shared.pages()) == ({0: 1}, {})


def test_a_threads_stack_is_where_its_variables_are() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(stack_of(threading.get_ident())))
    thread.start()
    thread.join()
    assert found
    assert found[0] is None or found[0][1] > 0  # type: ignore[index]


def test_what_other_threads_add_during_a_look_is_kept() -> None:
    every = Belongings()
    owner = every.of("memory of worker 0", "memory", 0, None)

    def meanwhile() -> bool:
        late = every.of("stack of worker 1", "stack", 1, None)
        if not late.parts:
            late.add((lambda: True, [(PAGE, 1)]))
            owner.add((lambda: True, [(3 * PAGE, 1)]))
        return True

    owner.add((meanwhile, [(2 * PAGE, 1)]))
    assert owner in list(every)
    assert [each.name for each in every] == ["memory of worker 0", "stack of worker 1"]
    assert owner.ranges == [(2 * PAGE, 1), (3 * PAGE, 1)]
