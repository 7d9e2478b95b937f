"""The memory policy of ranges and threads, as far as one node can tell; the lab has machines of several."""

from __future__ import annotations

import ctypes
import platform
from typing import Any

import pytest

from burstline.numa import memory_policy
from burstline.numa.memory_policy import PAGE, Moved, nodes_in, nodes_of, place, prefer, preferring
from burstline.state.region import Region

needs_policy = pytest.mark.skipif(not memory_policy.is_supported(), reason="the system takes no memory policy")
ABSENT = 1000  # no machine has it


@needs_policy
def test_pages_have_a_node_once_they_are_touched() -> None:
    region = Region(4 * PAGE, huge=False)
    pages = [region.address + PAGE * k for k in range(4)]
    assert prefer(region.address, region.size, 0)
    assert nodes_of(pages) == [None] * 4
    region.set_i64(PAGE, 1)
    assert nodes_of(pages)[1] == 0
    assert nodes_in(region.address, region.size) == {0: 1}


@needs_policy
def test_pages_that_are_there_need_no_move() -> None:
    region = Region(1000 * PAGE, huge=False)
    region.numpy("u1", region.size)[:: 2 * PAGE] = 7
    assert place(region.address, region.size, 0) == Moved(there=500)
    assert region.read(998 * PAGE, 1) == b"\7"


@needs_policy
def test_a_node_that_is_not_there_moves_nothing_and_says_why() -> None:
    region = Region(2 * PAGE, huge=False)
    region.write(0, bytes([1]) * (2 * PAGE))
    done = place(region.address, region.size, ABSENT)
    assert (done.moved, done.stayed) == (0, 2)
    assert done.why
    assert region.read(0, 2 * PAGE) == bytes([1]) * (2 * PAGE)


@needs_policy
def test_a_threads_policy_is_as_before_after_the_block() -> None:
    before = memory_policy._policy()[0]
    with preferring(0):
        assert memory_policy._policy()[0] == memory_policy.MPOL_PREFERRED
    assert memory_policy._policy()[0] == before
    with preferring(ABSENT):
        assert memory_policy._policy()[0] == before, "a node that one cannot have is no reason to fail"


def test_what_moved_adds_up_with_the_first_reason() -> None:
    assert Moved(1, 2, 3, "busy") + Moved(10, 20, 30, "other") == Moved(11, 22, 33, "busy")


@needs_policy
def test_pages_that_the_kernel_counts_as_left_are_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """move_pages returns how many it has not moved (move_pages(2)): no error, and errno says nothing."""
    nodes, start = {0: 0, 1: 0, 2: 0}, 1 << 30

    class Libc:
        def syscall(self, number: Any, *words: Any) -> int:
            if number.value != memory_policy._NUMBERS[platform.machine()]["move_pages"]:
                return 0
            count = words[1].value
            pages = [(at - start) // PAGE for at in (ctypes.c_long * count).from_address(words[2].value)]
            status = (ctypes.c_int * count).from_address(words[4].value)
            if words[3] is not None:
                nodes.update({page: 1 for page in pages if page != 1})  # one is in use
                return 1
            status[:] = [nodes[page] for page in pages]
            return 0

    monkeypatch.setattr(memory_policy, "_libc", Libc)
    assert place(start, 3 * PAGE, 1) == Moved(moved=2, stayed=1, why="they are in use")
