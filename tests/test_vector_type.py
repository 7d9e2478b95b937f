"""Vectors in compiled code do what NumPy does, lane by lane."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burstline.native.kernel import Kernel

arithmetic, shuffles = (Kernel(f"vector_kernels:{name}", int, int, int) for name in ("arithmetic", "shuffles"))
WORD = st.one_of(st.integers(0, 0xFFFFFFFF), st.sampled_from((0, 1, 100, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)))


def words(count: int) -> st.SearchStrategy[Any]:
    return st.lists(WORD, min_size=count, max_size=count).map(lambda values: np.array(values, "u4"))


def run(kernel: Kernel, a: Any, b: Any) -> tuple[Any, int]:
    to = np.zeros(256, "u4")
    return to, kernel(to.ctypes.data, a.ctypes.data, b.ctypes.data)


@settings(deadline=None)
@given(words(16), words(16))
def test_operators_work_lane_by_lane_on_unsigned_numbers(x: Any, y: Any) -> None:
    to, bits = run(arithmetic, x, y)
    wanted = [
        x + y, x - np.uint32(7), x & y | 0xF0, x ^ y << np.uint32(3), x >> np.uint32(5), np.minimum(x, y),
        ((x == y) | (x > 0x80000000)).astype("u4"), np.where((x != y) & (y >= 100) & (x <= 0xFFFF0000), y, 9),
    ]  # fmt: skip
    for k, lanes in enumerate(wanted):
        assert to[16 * k : 16 * k + 16].tolist() == lanes.tolist(), k
    assert bits == sum(1 << k for k in range(16) if x[k] >= y[k])


@settings(deadline=None)
@given(words(64), words(16))
def test_words_are_gathered_and_scattered_where_they_belong(a: Any, b: Any) -> None:
    to, zeros = run(shuffles, a, b)
    for k, lanes in enumerate((a[0::4], a[1::4], a[2::4], a[0:32:2], a[1:32:2])):
        assert to[16 * k : 16 * k + 16].tolist() == lanes.tolist(), k
    assert to[80:88].view("u2").tolist() == (b & 0xFFFF).tolist()
    assert to[96:128].tolist() == np.stack((a[:16], b), 1).ravel().tolist()
    assert to[128:132].tolist() == b[:4].tolist()
    assert to[132:140].tolist() == b[:8].tolist()
    assert to[140:148].tolist() == [*b[:2].tolist(), 0, 0, 0, 0, 0, 0]
    assert zeros == 37
