"""Which memory of a run belongs to which worker, table and node: noted as it is made, before anybody touches it."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from burstline.engine.placement.code_pages import Range, code_added
from burstline.numa.memory_policy import nodes_in, place, place_all, prefer, preferring
from burstline.state.region import Region, regions_noted

Kind = Literal["table", "memory", "code", "stack"]
STACK = 1 << 18  # bytes at the top of a stack, of which compiled code uses few pages
ATTRIBUTES = 64  # bytes for a pthread_attr_t: 56 on x86-64, 64 on AArch64


@dataclass
class Belonging:
    """`worker` is whom it goes along with, None where workers share it. `home` is the node where it is to be, None for
    wherever it is touched first. It is gone when its owner is."""

    name: str
    kind: Kind
    worker: int | None
    home: int | None
    parts: list[tuple[Callable[[], Any], list[Range]]] = field(default_factory=list)

    @property
    def ranges(self) -> list[Range]:
        """Addresses and bytes of what is still there."""
        return [each for owner, ranges in self.parts if owner() is not None for each in ranges]

    def add(self, part: tuple[Callable[[], Any], list[Range]]) -> None:
        """One more part; what is gone is forgotten now, not by those who only look: they do so in other threads."""
        self.parts = [*(known for known in self.parts if known[0]() is not None), part]

    def pages(self) -> dict[int, int]:
        """By node, of those pages that are looked at."""
        found: dict[int, int] = {}
        for address, size in self.ranges:
            try:
                for node, count in nodes_in(address, size).items():
                    found[node] = found.get(node, 0) + count
            except OSError:
                continue
        return found


class Belongings:
    """All of a run."""

    def __init__(self) -> None:
        self._all: dict[str, Belonging] = {}

    def __iter__(self) -> Iterator[Belonging]:
        return iter([each for each in list(self._all.values()) if each.ranges])  # threads that begin add theirs

    def of(self, name: str, kind: Kind, worker: int | None, home: int | None) -> Belonging:
        """The one of this name, new or known; where it is to be is as it was said last."""
        known = self._all.setdefault(name, Belonging(name, kind, worker, home))
        known.home = home
        return known

    @contextmanager
    def making(self, owner: Belonging) -> Iterator[None]:
        """Regions that this thread makes in the block are the owner's, and come from its home."""
        with regions_noted(lambda region: _add(owner, region)), preferring(owner.home):
            yield

    @contextmanager
    def linking(self, owner: Belonging) -> Iterator[Callable[[object], None]]:
        """Code that this thread links in the block is the owner's, for as long as the object lives that the value is
        called with."""
        kept: list[object] = []
        with preferring(owner.home), code_added() as ranges:
            yield kept.append
        owner.add((weakref.ref(kept[0]), ranges))
        if owner.home is not None:  # the linker fills what it has a little ahead
            place_all(ranges, owner.home)

    def found(self, owner: Belonging, regions: list[tuple[int, int]], keeper: object) -> None:
        """Regions that were made before, of nobody known, are the owner's, and go to its home."""
        known = {start for each in self._all.values() for start, _ in each.ranges}
        new = [(start, size) for start, size in regions if start not in known]
        if not new:
            return
        owner.add((weakref.ref(keeper), new))
        if owner.home is not None:
            place_all(new, owner.home)

    def stack(self, owner: Belonging, thread: int) -> None:
        """The stack of a thread of this process (`threading.get_ident`), for as long as the process lives."""
        if (found := stack_of(thread)) is not None:
            owner.parts = [(_always, [found])]
            if owner.home is not None:
                place(*found, owner.home)


def _add(owner: Belonging, region: Region) -> None:
    owner.add((weakref.ref(region), [(region.address, region.size)]))
    if owner.home is not None:
        prefer(region.address, region.size, owner.home)


def _always() -> bool:
    return True


def stack_of(thread: int) -> Range | None:
    """The part of it that is used first (pthread_getattr_np(3)); None where the system does not tell."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "pthread_getattr_np"):
        return None
    attributes = ctypes.create_string_buffer(ATTRIBUTES)
    start, size = ctypes.c_void_p(), ctypes.c_size_t()
    if libc.pthread_getattr_np(ctypes.c_void_p(thread), attributes):
        return None
    libc.pthread_attr_getstack(attributes, ctypes.byref(start), ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    if not start.value:
        return None
    used = min(size.value, STACK)
    return start.value + size.value - used, used
