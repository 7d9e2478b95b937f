"""A pool for packets' bytes: each buffer is of the class that fits, is one's own, and comes back to where it is of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import burstline as bl
from burstline.buffers.classes import DEFAULT
from burstline.buffers.magazine import ROUNDS
from burstline.buffers.pool import PacketData
from burstline.native.kernel import Kernel

take_buffer = Kernel("burstline.buffers.stock_kernel:take_buffer", int, int)
give_buffer = Kernel("burstline.buffers.stock_kernel:give_buffer", int, int)
PAGE = Path(__file__).parents[1] / "docs" / "buffers-pool.md"
ENOUGH = 4 * ROUNDS  # of each class, that there are some left when the caches of two cores are full


@pytest.fixture(scope="module")
def pool() -> bl.PacketDataPool:
    return bl.PacketDataPool(buffers=ENOUGH, cores=2)


@given(size=st.integers(1, DEFAULT.largest), core=st.integers(0, 1))
@settings(deadline=None)
def test_a_buffer_is_of_the_smallest_class_that_fits(pool: bl.PacketDataPool, size: int, core: int) -> None:
    data = pool.take(size, core)
    assert len(data.data) == min(each for each in DEFAULT.sizes if each >= size)
    assert data.address % 64 == 0
    assert repr(data) == f"<{len(data.data)} bytes of packet data at {data.address:#x}>"
    pool.give(data, 1 - core)


@given(
    sizes=st.lists(st.integers(1, 3000), min_size=1, max_size=5, unique_by=lambda size: -(-size // 64)),
    asked=st.lists(st.integers(1, 3000), max_size=30),
)
@settings(max_examples=20, deadline=None)
def test_every_buffer_is_its_owners_alone_to_the_last_byte(sizes: list[int], asked: list[int]) -> None:
    with bl.PacketDataPool(sizes, buffers=3) as pool:
        mine: list[tuple[PacketData, bytes]] = []
        for number, size in enumerate(asked):
            if size > max(-(-each // 64) * 64 for each in sizes):
                with pytest.raises(bl.UsageError, match=f"no buffer has {size} bytes"):
                    pool.take(size)
                continue
            data = pool.take(size)
            data.data[:] = bytes([number]) * len(data.data)
            mine.append((data, bytes(data.data)))
        assert pool.in_use == len(mine)
        assert all(data.data == wrote for data, wrote in mine)
        for data, _ in mine:
            pool.give(data)


def test_a_larger_class_serves_when_the_one_that_fits_is_empty_and_then_none() -> None:
    pool = bl.PacketDataPool((256, 2048), buffers=1)
    small, large = (usage.populated for usage in pool.usage())
    mine = [pool.take(100) for _ in range(small + large)]
    assert [len(data.data) for data in mine] == [256] * small + [2048] * large
    with pytest.raises(bl.BurstlineError, match="all buffers of 100 bytes and more are in use") as caught:
        pool.take(100)
    assert not isinstance(caught.value, bl.UsageError)
    assert [usage.failed for usage in pool.usage()] == [large + 1, 1]
    for data in mine:
        pool.give(data)
    assert pool.in_use == 0
    assert len(pool.take(100).data) == 256


def test_foreign_frees_come_back_to_the_node_that_they_are_of() -> None:
    pool = bl.PacketDataPool((2048,), buffers=1, cores=3, nodes=(0, 1, 1))
    near, far = pool.usage()
    assert (near.node, far.node, near.populated) == (0, 1, far.populated)
    mine = [pool.take(2048, core=0) for _ in range(near.populated)]
    assert [usage.in_use for usage in pool.usage()] == [near.populated, 0]
    for data in mine:
        pool.give(data, core=2)
    assert [usage.in_use for usage in pool.usage()] == [0, 0]
    near, far = pool.usage()
    assert (near.cached + near.depot, far.taken) == (near.populated, 0)
    assert {core.core: (core.taken, core.given) for core in near.cores} == {0: (near.taken, 0), 2: (0, near.taken)}


def test_the_own_node_comes_first_with_all_its_classes() -> None:
    pool = bl.PacketDataPool((256, 2048), buffers=1, cores=2, nodes=(0, 1))
    here = [usage.populated for usage in pool.usage() if usage.node == 1]
    mine = [pool.take(256, core=1) for _ in range(sum(here) + 1)]
    assert [(u.node, u.size, u.in_use) for u in pool.usage()] == [
        (0, 256, 1), (0, 2048, 0), (1, 256, here[0]), (1, 2048, here[1]),
    ]  # fmt: skip
    assert len(mine[-1].data) == 256


def test_what_was_given_back_is_nobodys() -> None:
    pool = bl.PacketDataPool(buffers=1)
    data = pool.take(1500)
    pool.give(data)
    assert len(data.data) == 0
    with pytest.raises(bl.BurstlineError, match="given back already"):
        pool.give(data)
    assert pool.in_use == 0


def test_a_buffer_of_another_pool_is_refused_and_stays_whole() -> None:
    one, other = bl.PacketDataPool(buffers=1), bl.PacketDataPool(buffers=1)
    data = one.take(100)
    with pytest.raises(bl.UsageError, match="of another pool"):
        other.give(data)
    assert (one.in_use, other.in_use, len(data.data)) == (1, 0, 128)
    one.give(data)
    assert one.in_use == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"classes": ()}, "no size classes"),
        ({"classes": (0, 256)}, "no size classes"),
        ({"classes": (256, 256)}, "no size classes"),
        ({"classes": (200, 256)}, "no size classes"),
        ({"buffers": -1}, "-1 buffers of 128 bytes"),
        ({"most": {128: -1}}, "-1 buffers of 128 bytes"),
        ({"buffers": {1500: 10}}, r"numbers for sizes \[1500\]"),
        ({"cores": 0}, "0 cores"),
        ({"cores": 2, "nodes": (0,)}, r"2 cores on nodes \[0\]"),
    ],
)
def test_what_makes_no_pool_is_said(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(bl.UsageError, match=why):
        bl.PacketDataPool(**arguments)


def test_cores_classes_and_nodes_that_are_not_there_are_said(pool: bl.PacketDataPool) -> None:
    for core in (-1, 2):
        with pytest.raises(bl.UsageError, match=f"there is no core {core}"):
            pool.take(100, core)
    with pytest.raises(bl.UsageError, match="no class has 9217 bytes"):
        pool.grow(9217, 1)
    with pytest.raises(bl.UsageError, match="no core is on node 3"):
        pool.shrink(256, 1, node=3)


def test_a_with_statement_says_what_was_not_given_back_and_hides_no_other_error() -> None:
    with pytest.raises(bl.BurstlineError, match="2 buffers were not given back"), bl.PacketDataPool(buffers=2) as pool:
        pool.take(1), pool.take(1)
    with pytest.raises(ZeroDivisionError), bl.PacketDataPool(buffers=1) as pool:
        pool.take(1)
        _ = 1 // 0


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "give", "grow", "shrink"]), st.sampled_from([256, 2048]), st.integers(0, 1)),
        max_size=40,
    )
)
@settings(max_examples=30, deadline=None)
def test_the_numbers_add_up_whatever_is_done(steps: list[tuple[str, int, int]]) -> None:
    pool = bl.PacketDataPool((256, 2048), buffers=40, most=600, cores=2)
    mine: list[PacketData] = []
    for what, size, core in steps:
        if what == "take":
            mine += [pool.take(size, core) for _ in range(20) if pool.usage()[-1].depot > 600 - 500]
        elif what == "give":
            while len(mine) > 10:
                pool.give(mine.pop(len(mine) // 2), core)
        elif what == "grow":
            before = pool.memory
            assert pool.grow(size, 100) >= 0
            assert pool.memory >= before
        else:
            pool.shrink(size, min(100, pool.usage()[size == 2048].depot))
        for usage in pool.usage():
            assert usage.populated == usage.in_use + usage.cached + usage.depot + usage.parked <= usage.most
            assert usage.memory >= usage.populated * usage.size
            assert usage.taken - sum(each.given for each in usage.cores) == usage.in_use
        assert sum(usage.in_use for usage in pool.usage()) == pool.in_use == len(mine)
        assert sum(usage.memory for usage in pool.usage()) == pool.memory


def test_a_class_grows_and_shrinks_by_its_size() -> None:
    pool = bl.PacketDataPool((256, 2048), buffers=0, most={256: 0, 2048: 200})
    assert repr(pool) == "PacketDataPool(0 of 256 bytes, 0 of 2048 bytes)"
    with pytest.raises(bl.BurstlineError, match="in use"):
        pool.take(1)
    assert pool.grow(256, 5) == 0
    assert pool.grow(1500, 100) == 128
    assert pool.memory == 128 * 2048
    assert pool.shrink(2048, 50) == 32
    assert pool.memory == 96 * 2048
    assert pool.usage()[1].parked == 50 - 32
    assert pool.overhead > 0


def test_the_page_shows_what_its_example_prints(capsys: pytest.CaptureFixture[str]) -> None:
    if not PAGE.is_file():
        pytest.skip("the documentation is not here")
    found = re.search(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    exec(found[1], {})
    assert capsys.readouterr().out == found[2]


# ---- what compiled code calls ----


def test_kernels_take_and_give_and_what_the_class_had_not_is_counted_there() -> None:
    pool = bl.PacketDataPool((256, 640), buffers=1)
    stock = pool.stock(0)
    all_of_them = [take_buffer(stock, 257) for _ in range(pool.usage()[1].populated)]
    assert 0 not in all_of_them
    assert len(set(all_of_them)) == len(all_of_them)
    assert take_buffer(stock, 257) == take_buffer(stock, 641) == 0
    assert [usage.failed for usage in pool.usage()] == [0, 1], "641 bytes are nobody's"
    assert give_buffer(stock, take_buffer(stock, 256)) == 256
    assert {give_buffer(stock, address) for address in all_of_them} == {640}
    assert pool.in_use == 0
    outside = pool.classes[0].chunks
    assert give_buffer(stock, 64) == 0
    assert outside.start not in all_of_them
    assert pool.in_use == 0
