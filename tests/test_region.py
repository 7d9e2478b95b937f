"""Memory of tables and columns: zeroed, kept apart from others, and asking for huge pages where it is large."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from burstline.state.region import HUGE, Region


def test_a_region_is_zeros_and_holds_what_is_written() -> None:
    for size in (1, 4096, HUGE + 5):
        region = Region(size)
        assert region.read(0, size) == bytes(size)
        region.write(size - 1, b"x")
        assert region.numpy("u1", size)[-1] == ord("x")


@pytest.mark.skipif(sys.platform != "linux", reason="huge pages as Linux has them")
def test_a_large_region_begins_at_a_huge_page_is_private_and_asks_for_them() -> None:
    region = Region(3 * HUGE)
    assert region.address % HUGE == 0
    maps = Path("/proc/self/smaps").read_text()
    for block in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", maps, flags=re.MULTILINE):
        place = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", block)
        if place and int(place[1], 16) <= region.address < int(place[2], 16):
            assert place[3].endswith("p"), "shared pages are huge on few systems"
            flags = re.search(r"VmFlags:(.*)", block)
            assert flags is None or " hg" in flags[1]
            return
    pytest.fail("it is not among the process's mappings")
