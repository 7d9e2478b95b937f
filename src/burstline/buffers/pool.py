"""The pool that packets' bytes lie in: size classes on each NUMA node, with a cache for each core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import NamedTuple

from burstline.buffers.chunks import OwnChunks
from burstline.buffers.classes import DEFAULT, rounded
from burstline.buffers.magazines import Magazines
from burstline.buffers.size_class import SizeClass
from burstline.buffers.stock import stock_of
from burstline.buffers.usage import ClassUsage, usage_of
from burstline.errors import BurstlineError, UsageError
from burstline.native.kernel import Kernel

BUFFERS = 4096

_take_buffer = Kernel("burstline.buffers.stock_kernel:take_buffer", int, int)
_give_buffer = Kernel("burstline.buffers.stock_kernel:give_buffer", int, int)


class _Class(NamedTuple):
    """A size class of a node, with its memory."""

    size: int
    node: int
    chunks: OwnChunks
    made: SizeClass


class PacketData:
    """A buffer of a pool: writable bytes, until it is given back."""

    __slots__ = ("address", "data")

    def __init__(self, address: int, data: memoryview) -> None:
        self.address, self.data = address, data

    def __repr__(self) -> str:
        return f"<{len(self.data)} bytes of packet data at {self.address:#x}>"


class PacketDataPool:
    """`pool = PacketDataPool()`; `data = pool.take(1500)` is a buffer of the smallest class that fits and has one.

    `classes` are sizes in bytes. `buffers` of each are populated at once, and `most` (as many, where nothing is said)
    is as far as `grow` can go; both are one number for all classes, or a number by size. `cores` threads can use the
    pool at a time, each by its own number from 0: a core's frees and allocations meet in its own cache, and what
    another core freed comes back to the class it is of in whole magazines. `nodes` says on which NUMA node each core
    is; each node has buffers of its own. Raises UsageError and BurstlineError.
    """

    def __init__(
        self,
        classes: Sequence[int] = DEFAULT.sizes,
        *,
        buffers: int | Mapping[int, int] = BUFFERS,
        most: int | Mapping[int, int] | None = None,
        cores: int = 1,
        nodes: Sequence[int] = (),
    ) -> None:
        sizes = sorted(classes)
        if not sizes or sizes[0] < 1 or len({rounded(size) for size in sizes}) != len(sizes):
            raise UsageError(
                f"{list(classes)} are no size classes",
                f"give sizes in different cache lines, such as {list(DEFAULT.sizes)}",
            )
        for numbers in (buffers, most):
            if isinstance(numbers, Mapping) and (unknown := set(numbers) - set(sizes)):
                raise UsageError(f"there are numbers for sizes {sorted(unknown)}", f"the classes have {sizes}")
        if cores < 1 or len(nodes) not in (0, cores):
            raise UsageError(f"{cores} cores on nodes {list(nodes)}", "give the node of each core, or none")
        self.cores, self.nodes = cores, tuple(nodes) or (0,) * cores
        self.classes = [
            self._made(size, node, _of(buffers, size), _of(buffers if most is None else most, size))
            for node in sorted(set(self.nodes))
            for size in sizes
        ]
        self._stocks = [stock_of(self._shelves(core)) for core in range(cores)]

    def _made(self, size: int, node: int, first: int, most: int) -> _Class:
        size = rounded(size)
        chunks = OwnChunks(size, max(first, most), node)
        made = SizeClass(chunks, Magazines(chunks.count * chunks.per_chunk, self.cores))
        made.grow(first)
        return _Class(size, node, chunks, made)

    def __repr__(self) -> str:
        return f"PacketDataPool({', '.join(f'{u.populated} of {u.size} bytes' for u in self.usage())})"

    def __enter__(self) -> PacketDataPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None and self.in_use:
            raise BurstlineError(f"{self.in_use} buffers were not given back", "call give() for each one taken")

    def take(self, size: int, core: int = 0) -> PacketData:
        """A buffer of at least `size` bytes, with whatever its last user left there. Raises BurstlineError when all
        that are large enough are in use, and UsageError when none is so large."""
        address = _take_buffer(self.stock(core), size)
        if address == 0:
            largest = max(each.size for each in self.classes)
            if size > largest:
                raise UsageError(f"no buffer has {size} bytes", f"the largest class has {largest}: add a class")
            raise BurstlineError(f"all buffers of {size} bytes and more are in use", "make the pool larger, or grow()")
        return PacketData(address, self._owner(address).chunks.room(address))

    def give(self, data: PacketData, core: int = 0) -> None:
        """Give a buffer back; any core may. Raises BurstlineError for one that was given back already, and UsageError
        for one of another pool."""
        stock = self.stock(core)
        if data.address == 0:
            raise BurstlineError("this buffer was given back already", "give each buffer back once")
        if _give_buffer(stock, data.address) == 0:
            raise UsageError("this buffer is of another pool", "give it back to the pool that it was taken from")
        data.address, data.data = 0, memoryview(b"")

    def stock(self, core: int) -> int:
        """What the kernels of `stock_kernel.py` call a core's stock."""
        if not 0 <= core < self.cores:
            raise UsageError(f"there is no core {core}", f"the pool is for cores 0 to {self.cores - 1}: say cores=")
        return self._stocks[core].address

    def grow(self, size: int, n: int, node: int | None = None) -> int:
        """Populate at least `n` more buffers of a class; returns how many. Workers may run meanwhile."""
        return self._class(size, node).grow(n)

    def shrink(self, size: int, n: int, node: int | None = None) -> int:
        """Give back the memory of up to `n` free buffers of a class; returns of how many. Workers may run meanwhile."""
        return self._class(size, node).shrink(n)

    @property
    def in_use(self) -> int:
        """Buffers of all classes that somebody has."""
        return sum(each.made.in_use for each in self.classes)

    @property
    def memory(self) -> int:
        """Bytes of memory that the buffers take."""
        return sum(each.made.memory for each in self.classes)

    @property
    def overhead(self) -> int:
        """Bytes of memory that it takes beside them."""
        return sum(each.made.magazines.memory for each in self.classes)

    def usage(self) -> list[ClassUsage]:
        """Each class of each node, as it is now."""
        return [usage_of(each.size, each.node, each.made) for each in self.classes]

    def _class(self, size: int, node: int | None) -> SizeClass:
        node = self.nodes[0] if node is None else node
        if node not in self.nodes:
            raise UsageError(f"no core is on node {node}", f"the cores are on nodes {sorted(set(self.nodes))}")
        for each in self.classes:
            if each.node == node and each.size >= size:
                return each.made
        raise UsageError(f"no class has {size} bytes", f"there are {sorted({each.size for each in self.classes})}")

    def _owner(self, address: int) -> _Class:
        return next(each for each in self.classes if each.chunks.start <= address < each.chunks.end)

    def _shelves(self, core: int) -> list[tuple[int, int, int, int]]:
        near = sorted(self.classes, key=lambda each: (each.node != self.nodes[core], each.size))
        return [(c.size, c.chunks.start, c.chunks.end, c.made.magazines.cache(core)) for c in near]


def _of(numbers: int | Mapping[int, int], size: int) -> int:
    found = numbers if isinstance(numbers, int) else numbers.get(size, 0)
    if found < 0:
        raise UsageError(f"{found} buffers of {size} bytes", "give a number from 0")
    return found
