"""Mappings of code, from the kernel's text, and what of them is new."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from burstline.engine.placement.code_pages import anonymous_code, beyond, code_added
from burstline.native.kernel import Kernel

MAPS = """\
555500000000-555500010000 r-xp 00000000 08:01 1234 /usr/bin/python3
7f0000000000-7f0000004000 r-xp 00000000 00:00 0
7f0000004000-7f0000005000 r--p 00000000 00:00 0
7f0000005000-7f0000009000 rw-p 00000000 00:00 0
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0 [vdso]
"""
Ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=6)


def test_code_is_anonymous_and_not_written() -> None:
    assert anonymous_code(MAPS) == [(0x7F0000000000, 0x4000), (0x7F0000004000, 0x1000)]


def covered(ranges: list[tuple[int, int]]) -> set[int]:
    return {at for start, size in ranges for at in range(start, start + size)}


@given(Ranges, Ranges)
def test_what_is_new_is_what_was_not_covered(new: list[tuple[int, int]], old: list[tuple[int, int]]) -> None:
    assert covered(beyond(new, old)) == covered(new) - covered(old)


def test_what_is_linked_in_the_block_is_found() -> None:
    kernel = Kernel("burstline.engine.trampoline_kernel:publish", int, int)
    with code_added() as found:
        address = kernel.address
    assert any(start <= address < start + size for start, size in found)
