"""Where each free buffer lies, read from the memory of magazines and not by their kernels: for tests."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from burstline.buffers.magazine import LINK, MAGAZINE, ROUNDS, CoreCache, Depot
from burstline.buffers.magazines import Magazines

NUMBER = (1 << 32) - 1


@dataclass(frozen=True)
class Contents:
    """Free buffers: of each core's loaded and previous magazines, of each core's reserve, and of the depot."""

    cached: list[list[int]]
    reserved: list[list[int]]
    depot: list[int]

    @property
    def all(self) -> list[int]:
        return [address for part in (*self.cached, *self.reserved, self.depot) for address in part]

    def within_reach(self, core: int) -> int:
        """How many the core can take."""
        return len(self.cached[core]) + len(self.reserved[core]) + len(self.depot)


class Reader:
    """Reads the memory of one `Magazines`, while nothing changes it."""

    def __init__(self, magazines: Magazines) -> None:
        self.magazines = magazines
        self.depot = self.word(magazines.cache(0) + CoreCache.layout.offset("depot"))
        self.first = self.word(self.depot + Depot.layout.offset("magazines"))

    def word(self, address: int) -> int:
        return ctypes.c_int64.from_address(address).value

    def field(self, name: str) -> int:
        return self.word(self.depot + Depot.layout.offset(name))

    def core(self, core: int, name: str) -> int:
        return self.word(self.magazines.cache(core) + CoreCache.layout.offset(name))

    def contents(self) -> Contents:
        """Everything. AssertionError where a magazine is in two places, or nowhere, or holds what it cannot."""
        cores = range(self.magazines.cores + 1)
        seen: list[int] = []
        cached = []
        for core in cores:
            held = []
            for at, count in (("loaded", "count"), ("previous", "kept")):
                number, odd = divmod(self.core(core, at) - LINK - self.first, MAGAZINE)
                assert odd == 0
                seen.append(number + 1)
                held += self.handles(number + 1, self.core(core, count))
            cached.append(held)
        reserved = [self.stack(self.core(core, "reserve"), seen) for core in cores]
        depot = self.stack(self.field("full"), seen) + self.stack(self.field("aside"), seen)
        if top := self.field("full_top"):
            seen.append(top & NUMBER)
            depot += self.handles(top & NUMBER, top >> 32)
        if top := self.field("empty_top"):
            seen.append(top)
        assert self.stack(self.field("empty"), seen, empty=True) == []
        fresh = self.field("fresh")
        assert sorted(seen) == list(range(1, fresh)), "each magazine that was ever in use is in one place"
        assert fresh <= self.field("numbers") + 1, "there is memory for each"
        return Contents(cached, reserved, depot)

    def stack(self, head: int, seen: list[int], *, empty: bool = False) -> list[int]:
        """The buffers in a stack of magazines, whose numbers go to `seen`."""
        found = []
        number = head & NUMBER
        while number:
            seen.append(number)
            assert len(seen) <= self.field("numbers"), "a stack that bites its tail"
            link = self.word(self.first + (number - 1) * MAGAZINE)
            assert (link >> 32 == 0) == empty, "magazines of the depot are full or empty"
            found += self.handles(number, link >> 32)
            number = link & NUMBER
        return found

    def handles(self, number: int, count: int) -> list[int]:
        assert 0 <= count <= ROUNDS
        start = self.first + (number - 1) * MAGAZINE + LINK
        return [self.field("base") + (handle << 6) for handle in (ctypes.c_uint32 * count).from_address(start)]
