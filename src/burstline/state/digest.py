"""Digests: small records that stages hand to Python, in batches, through a ring per worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from burstline.errors import UsageError, application_failed
from burstline.native.fieldtypes import i64, shared
from burstline.native.struct import Struct, plain_value
from burstline.state.base import State
from burstline.state.record import Record
from burstline.state.region import Block, Region

R = TypeVar("R", bound=Record)


class DigestHead(Struct):
    """A ring of one writer and one reader; counts run on, the low bits are the place."""

    ring: i64
    mask: i64
    pending: i64  # written by stages; the worker publishes them when the burst is done
    lost: i64
    head: i64  # published
    tail: shared  # read: the only field that the reader writes
    spare: i64  # where a digest goes that finds no room


class Copy(NamedTuple):
    head: Block
    ring: Region


class Digest(State, Generic[R]):
    """`queries = Digest(Query)`; in a stage `q = queries.new()`, then set its fields; `@queries.batches` in Python.

    The handler gets a structured array of up to `capacity` records, in each worker's order. Offline, workers wait for
    the handler, and nothing is lost unless a single packet makes more than half of `capacity`. Live, a full ring loses
    digests; `lost` counts them.
    """

    def __init__(self, record: type[R], capacity: int = 1 << 16) -> None:
        if not (isinstance(record, type) and issubclass(record, Record)):
            raise UsageError(f"Digest needs a Record class, not {record!r}", "class Query(bl.Record): time: bl.i64")
        if capacity < 2 or capacity & (capacity - 1):
            raise UsageError(f"Digest capacity {capacity} is not a power of two", "the default is 65536")
        self.record = record
        self.capacity = capacity
        self._handler: Callable[[Any], None] | None = None
        self._failed = False
        self._own: list[R] = []
        self._workers: list[Copy] = []

    def batches(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        """Decorator: call `handler` with each batch, a NumPy structured array of its own."""
        self._handler = handler
        return handler

    def new(self) -> R:
        """A cleared record that the handler will get."""
        self._own.append(self.record())
        return self._own[-1]

    @property
    def dtype(self) -> Any:
        """The dtype of batches."""
        import numpy as np

        wanted: Any = self.record.layout.numpy(self.stride)
        return np.dtype(wanted)

    @property
    def stride(self) -> int:
        """Bytes that a record takes in the ring."""
        return self.record.layout.size

    @property
    def lost(self) -> int:
        """Digests that found the ring full."""
        return sum(c.head.get("lost") for c in self._workers)

    def drain(self) -> int:
        """Hand everything that was published to the handler; returns how many. Called by the engine."""
        import numpy as np

        total = 0
        if self._own:
            rows = np.zeros(len(self._own), self.dtype)
            for row, record in zip(rows, self._own, strict=True):
                for slot in self.record.layout:
                    row[slot.name] = plain_value(record, slot)
            total += len(rows)
            self._own.clear()
            self._give(rows)
        for head, ring in self._workers:
            tail, published = head.get("tail"), head.get("head")
            if tail == published:
                continue
            rows = ring.numpy(self.dtype, self.capacity)
            batch = rows[np.arange(tail, published) & (self.capacity - 1)]
            head.set(tail=published)
            total += len(batch)
            self._give(batch)
        return total

    def _give(self, batch: Any) -> None:
        """To the handler, until it fails: once its error was raised, the run comes to its end without it."""
        if self._handler is None or self._failed:
            return
        try:
            self._handler(batch)
        except Exception as error:
            self._failed = True
            what = f"the handler of {self.record.__name__} digests"
            raise application_failed(what, self._handler, error) from error

    def room(self) -> int:
        """Free places in the fullest worker's ring."""
        return min((self.capacity - c.head.get("head") + c.head.get("tail") for c in self._workers), default=0)

    def signature(self) -> tuple[Any, ...]:
        return (self.record.layout, self.stride)

    def attach(self) -> int:
        ring = Region((self.capacity + 1) * self.stride)
        head = Block(DigestHead.layout)
        head.set(ring=ring.address, mask=self.capacity - 1, spare=ring.address + self.capacity * self.stride)
        self._workers.append(Copy(head, ring))
        return head.address

    def addresses(self) -> list[int]:
        return [c.head.address for c in self._workers]

    def adopt(self, old: Digest[Any]) -> bool:
        if (self.signature(), self.capacity) != (old.signature(), old.capacity):
            return False
        self._own, self._workers = old._own, old._workers
        return True

    def reset(self) -> None:
        self._own = []
        self._workers = []
        self._failed = False

    def warnings(self) -> list[str]:
        if not self.lost:
            return []
        return [f"{self.lost:,} digests of {self.record.__name__} were lost: raise capacity above {self.capacity:,}"]
