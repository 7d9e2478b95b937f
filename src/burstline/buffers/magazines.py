"""The free buffers of one size class on one node, whatever memory they are of: a depot, and a cache for each core."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from burstline.buffers.magazine import LINE, LINK, MAGAZINE, ROUNDS, CoreCache, Depot
from burstline.errors import BurstlineError
from burstline.native.kernel import Kernel
from burstline.state.region import Block, Region

APART = 256  # bytes from one core's cache to the next, of which no two share a pair of lines
NUMBER = (1 << 32) - 1
PARTS = 16  # of all buffers there may be in a magazine, at most: a core keeps two
REACH = 1 << 37  # bytes that a handle of 32 bits tells, before and behind the first buffer

_TAKEN, _GIVEN, _COUNT, _KEPT, _POPPED, _RESERVED, _PUSHED, _TRANSFERS, _FAILED = (
    CoreCache.layout.offset(name) // 8
    for name in ("taken", "given", "count", "kept", "popped", "reserved", "pushed", "transfers", "failed")
)

take_kernel = Kernel("burstline.buffers.magazine_kernel:take", CoreCache, int, int)
give_kernel = Kernel("burstline.buffers.magazine_kernel:give", CoreCache, int, int)
_hand_in = Kernel("burstline.buffers.magazine_kernel:hand_in", CoreCache)
_top_up = Kernel("burstline.buffers.magazine_kernel:top_up", CoreCache, int)
_draw = Kernel("burstline.buffers.magazine_kernel:draw", CoreCache, int)
_lay_aside = Kernel("burstline.buffers.magazine_kernel:lay_aside", CoreCache, int, int)
_put_back = Kernel("burstline.buffers.magazine_kernel:put_back", CoreCache)


@dataclass(frozen=True)
class CoreCount:
    """What one core did, and what its cache holds, in buffers; `transfers` counts how often the depot's line came from
    another core. `taken - given` of all cores together are in use."""

    taken: int
    given: int
    cached: int
    from_depot: int  # magazines
    from_reserve: int
    to_depot: int
    transfers: int
    failed: int


def rounds_for(most: int) -> int:
    """With how many buffers to fill a magazine where there may be `most`: whole vectors."""
    return min(ROUNDS, max(8, most // PARTS & -8))


class Magazines:
    """For at most `most` buffers, whose addresses are multiples of 64 and at most 128 GiB from the first.

    Cores are numbered from 0 to `cores - 1`, and each number belongs to one thread at a time. `take` and `give` with
    `control` as the core are for the control side: any thread of Python may call them. A magazine is filled with
    `rounds` buffers; where nothing is said, as many as it holds, and with less than 16 times as many a 16th.
    """

    def __init__(self, most: int, cores: int, rounds: int = 0) -> None:
        for kernel in (take_kernel, give_kernel, _hand_in, _top_up, _draw, _lay_aside, _put_back):
            kernel.address  # noqa: B018  # compiled now, not when one of them is needed
        self.most, self.cores, self.control = most, cores, cores
        self.rounds = rounds or rounds_for(most)
        self.added = 0
        self._base: int | None = None  # what handles count from
        count = most + 2 * (cores + 1)
        self._magazines = Region(count * MAGAZINE, huge=False)  # of which few are ever touched
        self._depot = Block(Depot.layout)
        self._depot.set(magazines=self._magazines.address, numbers=count, fresh=1 + 2 * (cores + 1))
        self._caches = Region((cores + 1) * APART)
        self._links = self._magazines.numpy("i8", count * MAGAZINE // 8).reshape(count, -1)[:, 0]
        self._handles = self._magazines.numpy("u4", count * MAGAZINE // 4).reshape(count, -1)[:, LINK // 4 :]
        self._words = self._caches.numpy("i8", (cores + 1) * APART // 8).reshape(cores + 1, -1)
        self._lock = threading.RLock()
        for core in range(cores + 1):
            first = self._magazines.address + 2 * core * MAGAZINE + LINK
            self._set(
                core,
                loaded=first,
                previous=first + MAGAZINE,
                high=self.rounds,
                depot=self._depot.address,
                core=core + 1,
                rounds=self.rounds,
            )

    def cache(self, core: int) -> int:
        """The address of a core's CoreCache, for the kernels."""
        return self._caches.address + core * APART

    def add(self, addresses: Any) -> None:
        """New buffers: an array of int64 addresses. Raises BurstlineError where there are too many, or one lies where
        handles do not reach."""
        import numpy as np

        new = np.asarray(addresses, np.int64)
        if not len(new):
            return
        with self._lock:
            if self.added + len(new) > self.most:
                raise BurstlineError(f"there is room for {self.most:,} buffers", "make the pool larger")
            base = int(new[0]) - REACH if self._base is None else self._base
            away = new - base
            if away.min() < 0 or away.max() >= 2 * REACH or (away & LINE - 1).any():
                raise BurstlineError("a buffer lies too far from the others, or not at the start of a cache line")
            if self._base is None:
                self._base = base
                self._depot.set(base=base)
                for core in range(self.cores + 1):
                    self._set(core, base=base)
            self.added += len(new)
            self.give(self.control, new)
            self.hand_in(self.control)
            self._account(self.control, given=-len(new))  # nobody had taken them

    def withdraw(self, n: int) -> Any:
        """Up to `n` free buffers of the depot, for good: an array of addresses."""
        import numpy as np

        parts = []
        with self._lock:
            some = self.rounds
            while n > 0 and some > 0:
                part = self.take(self.control, min(n, some))
                if len(part) == 0:
                    some //= 2
                parts.append(part)
                n -= len(part)
            found = np.concatenate(parts) if parts else np.empty(0, np.int64)
            self.hand_in(self.control)
            self._account(self.control, taken=-len(found))
            self.added -= len(found)
        return found

    def pick(self, wanted: Callable[[Any], Any]) -> Any:
        """Those of the depot's buffers that `wanted` chooses, for good: an array of addresses. It is asked about each
        once, with arrays of addresses, and answers with arrays of bools. All the others can be taken meanwhile, but
        for those of two magazines."""
        import numpy as np

        room = np.empty(ROUNDS, np.int64)
        rest, found = room[:0], [room[:0]]
        with self._lock:
            self.hand_in(self.control)
            cache = self.cache(self.control)
            while n := _draw(cache, room.ctypes.data):
                chosen = wanted(room[:n])
                found.append(room[:n][chosen])
                rest = np.concatenate((rest, room[:n][~chosen]))
                while len(rest) >= self.rounds:
                    _lay_aside(cache, rest.ctypes.data, self.rounds)
                    rest = rest[self.rounds :].copy()
            if len(rest):
                _lay_aside(cache, rest.ctypes.data, len(rest))
            _put_back(cache)
            self.added -= sum(map(len, found))
        return np.concatenate(found)

    def peek(self) -> Any:
        """What the depot has, without taking it: an array of addresses. While cores run, some are gone by now, and some
        may be there twice or be missing."""
        import numpy as np

        tops = [self._depot.get("full_top")]
        for head in ("full", "aside"):
            number = self._depot.get(head) & NUMBER
            while number and len(tops) <= len(self._handles):
                link = int(self._links[number - 1])
                tops.append(link & ~NUMBER | number)
                number = link & NUMBER
        found = [self._handles[(top & NUMBER) - 1, : top >> 32] for top in tops if top]
        return (np.concatenate(found).astype(np.int64) << 6) + (self._base or 0) if found else np.empty(0, np.int64)

    def take(self, core: int, n: int) -> Any:
        """An array of `n` addresses, empty where there are not so many. Of `control`: only what the depot has."""
        import numpy as np

        found = np.empty(n, np.int64)
        with self._only(core):
            got = take_kernel(self.cache(core), found.ctypes.data, n)
        return found[:got]

    def give(self, core: int, addresses: Any) -> None:
        """Give buffers back: an array of addresses."""
        import numpy as np

        given = np.ascontiguousarray(addresses, np.int64)
        with self._only(core):
            give_kernel(self.cache(core), given.ctypes.data, len(given))

    def hand_in(self, core: int) -> None:
        """Move what a core's cache and its reserve hold to the depot: it is not in use, or is the caller's own."""
        with self._only(core):
            _hand_in(self.cache(core))

    def top_up(self, core: int, magazines: int) -> int:
        """Move so many magazines of the depot to the reserve of a core, which may be taking meanwhile; returns how many
        there were."""
        return _top_up(self.cache(core), magazines)

    def count(self, core: int) -> CoreCount:
        words = self._words[core].tolist()
        return CoreCount(
            words[_TAKEN], words[_GIVEN], words[_COUNT] + words[_KEPT], words[_POPPED], words[_RESERVED],
            words[_PUSHED], words[_TRANSFERS], words[_FAILED],
        )  # fmt: skip

    @property
    def memory(self) -> int:
        """Bytes of the magazines that were ever in use, and of the cores' caches."""
        return (min(self._depot.get("fresh"), self._depot.get("numbers") + 1) - 1) * MAGAZINE + self._caches.size

    @property
    def busy(self) -> list[int]:
        """The cores that ever took, gave or asked, without the control side."""
        words = self._words[: self.cores]
        return [int(core) for core in (words[:, _TAKEN] | words[:, _GIVEN] | words[:, _FAILED]).nonzero()[0]]

    @property
    def in_use(self) -> int:
        """Buffers that somebody has taken."""
        return int(self._words[:, _TAKEN].sum() - self._words[:, _GIVEN].sum())

    @property
    def cached(self) -> int:
        """Free buffers in the caches of cores."""
        return int(self._words[:, _COUNT].sum() + self._words[:, _KEPT].sum())

    @property
    def stranded(self) -> int:
        """Of those, how many the core with the fewest cannot take."""
        held = self._words[self.busy]
        found = held[:, _COUNT] + held[:, _KEPT]
        return int(found.sum() - found.min()) if len(found) else 0

    def _set(self, of: int, **values: int) -> None:
        for name, value in values.items():
            self._caches.set_i64(of * APART + CoreCache.layout.offset(name), value)

    def _account(self, core: int, **changes: int) -> None:
        for name, change in changes.items():
            at = core * APART + CoreCache.layout.offset(name)
            self._caches.set_i64(at, self._caches.i64(at) + change)

    def _only(self, core: int) -> Any:
        return self._lock if core == self.control else _nobody


class _Nobody:
    def __enter__(self) -> None:
        return None

    def __exit__(self, *what: object) -> None:
        return None


_nobody = _Nobody()
