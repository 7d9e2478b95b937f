"""Flow tables: a record per flow, found by the packet."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from burstline.errors import UsageError
from burstline.native.struct import Layout
from burstline.packet.packet import Packet
from burstline.state.base import LookAhead, State
from burstline.state.flow_exports import FlowExports
from burstline.state.flow_head import (
    ACTIVE,
    CLOSED,
    END,
    EVICTED,
    FIRST_BUCKETS,
    FOUND_AT,
    IDLE,
    LINE,
    LOAD,
    MARK_AT,
    PACKETS,
    REASONS,
    USED,
    Geometry,
    TableHead,
)
from burstline.state.flow_inherit import Heritage, copy_values, inherit, shared_fields
from burstline.state.flow_keys import keys_of
from burstline.state.flow_merge import Merge, merge_of
from burstline.state.flow_read import Copy, Rows, read_flows
from burstline.state.flow_rows import as_stored, shown, texts
from burstline.state.record import Record
from burstline.state.region import Block, Region

R = TypeVar("R", bound=Record)
MS, MOST_DAYS = 1_000_000, 20
SWEEP_EVERY = 1024  # packets, interpreted


class Flow(NamedTuple):
    """An interpreted flow."""

    record: Any
    times: list[int]  # milliseconds of its last and first packet
    flipped: bool  # its first packet went against the direction in which the key is written


class FlowTable(LookAhead, Generic[R]):
    """`flows = FlowTable(Flow, capacity=1_000_000)`; in a stage `flows[pkt]` is the record of the packet's flow.

    A flow is one direction of a 5-tuple (`packet/flow_key.py`); with `both_ways` both, and `flows.is_forward(pkt)` says
    whether a packet goes as the flow's first one did; with `vlan` and `tunnel` what `TupleKeys` says; or `key` names
    fields. A new flow's record is all zeros.

    A record leaves after `idle` seconds without a packet, when it is `active` seconds old and another packet comes, by
    `flows.close(pkt)`, and from a full table with `full="evict"`: the one that was idle for longest of those beside the
    new one. `expired` and `sink` say where to. Otherwise a full table refuses new flows: they share a scratch record
    that is cleared for every packet, and `refused` counts the packets. `capacity` is of each worker.

    `merge` says what becomes of a flow that has records of several captures of an archive: of each field "add", "min",
    "max", "or", "first" or "last"; or "apart": they stay as they are.
    """

    def __init__(
        self,
        record: type[R],
        capacity: int = 1_000_000,
        *,
        key: Sequence[str] | None = None,
        both_ways: bool = False,
        vlan: bool = False,
        tunnel: bool = False,
        idle: float | None = None,
        active: float | None = None,
        full: Literal["refuse", "evict"] = "refuse",
        sink: str | Sequence[str] | None = None,
        merge: Mapping[str, Merge] | Literal["apart"] | None = None,
    ) -> None:
        if not (isinstance(record, type) and issubclass(record, Record)):
            raise UsageError(
                f"FlowTable needs a Record class, not {record!r}", "class Flow(bl.Record): packets: bl.u64"
            )
        if not 1 <= capacity < 1 << 28:
            raise UsageError(f"FlowTable capacity {capacity} is out of range", "give 1 to 268,435,455 flows")
        if full not in ("refuse", "evict"):
            raise UsageError(f"full={full!r} is nothing that a full table can do", '"refuse" or "evict"')
        self.record = record
        self.capacity = capacity
        self.keys = keys_of(key, both_ways, vlan, tunnel)
        self.idle, self.active = (_milliseconds(n, s) for n, s in (("idle", idle), ("active", active)))
        self.evicts = full == "evict"
        self.merge = merge if merge is None or merge == "apart" else merge_of(record, merge)
        self.layout: Layout = record.layout
        self.exports = FlowExports(self)
        for spelled in [sink] if isinstance(sink, str) else sink or []:
            self.exports.write_to(spelled)
        self._own: dict[bytes, Flow] = {}
        self._own_left = [0] * len(REASONS)
        self._own_refused = self._looked = 0
        self.passed_on = False  # another table goes on with its records
        self._old: FlowTable[Any] | None = None  # the one that this one goes on with, while it has records left
        self._before: dict[str, int] = {}  # what such a one counted
        self._workers: list[Copy] = []
        self._heritage: list[list[Heritage]] = []  # of each worker

    @property
    def times(self) -> bool:
        """Whether it must know when a flow's packets came."""
        return bool(self.idle or self.active or self.evicts)

    @property
    def geometry(self) -> Geometry:
        """Where things lie in an entry."""
        return Geometry(self.keys.size, self.times, self.layout)

    @property
    def buckets(self) -> tuple[int, int]:
        """Of the index: how many it begins with, and how many it grows to."""
        last = -(-self.capacity // LOAD)
        first = last
        while first > FIRST_BUCKETS:
            first = -(-first // 2)
        grown = first
        while grown < last:
            grown *= 2
        return first, grown

    def expired(self, handler: Callable[[Any], None]) -> Callable[[Any], None]:
        """Decorator: call `handler` with each batch of records that leave, a structured array as `to_numpy` gives with
        a column `reason` more: idle, active, evicted, closed; and at the end of the run, end. `arrow` converts it."""
        return self.exports.batches(handler)

    # Interpreted stages.

    def __getitem__(self, packet: Packet) -> R:
        key, flipped = self._key(packet)
        now = _ms(packet.time)
        flow = self._own.get(key)
        if flow is None:
            if len(self._own) >= self.capacity and not self._make_room(now):
                self._own_refused += 1
                return self.record()
            flow = self._own[key] = Flow(self.record(), [now, now], flipped)
        elif self.times:
            idle_for, age = _since(flow.times[0], now), _since(flow.times[1], now)
            over = (
                IDLE if self.idle and idle_for >= self.idle else ACTIVE if self.active and age >= self.active else None
            )
            if over is not None:
                self._leave(key, over)
                flow = self._own[key] = Flow(self.record(), [now, now], flipped)
            if _since(now, flow.times[0]) == 0:
                flow.times[0] = now
        return flow.record  # type: ignore[no-any-return]

    def is_forward(self, packet: Packet) -> bool:
        """Whether the packet goes the way that the first packet of its flow's record went; True without a record."""
        key, flipped = self._key(packet)
        flow = self._own.get(key)
        return flow is None or flow.flipped == flipped

    def close(self, packet: Packet) -> None:
        """Let the record of the packet's flow leave now, if it has one. The stage must not use it any more."""
        key, _ = self._key(packet)
        if key in self._own:
            self._leave(key, CLOSED)

    def look_ahead(self, pkt: Any) -> None:
        self.note(pkt, self.keys.of(pkt))
        self._looked += 1
        if self._looked % SWEEP_EVERY == 0:
            self.sweep(pkt.time)

    def sweep(self, time: int) -> None:
        """Let the records leave that are over their idle timeout at this time, in ns."""
        now = _ms(time)
        over = [k for k, flow in self._own.items() if self.idle and _since(flow.times[0], now) >= self.idle]
        for key in over:
            self._leave(key, IDLE)

    def _key(self, packet: Packet) -> tuple[bytes, bool]:
        found: tuple[bytes, bool] = self.seen(packet, self.keys.of)
        return found

    def _leave(self, key: bytes, reason: int) -> None:
        flow = self._own.pop(key)
        self._own_left[reason] += 1
        self.exports.leave(key, flow, reason)

    def _make_room(self, now: int) -> bool:
        if not self.times:
            return False
        oldest = max(self._own, key=lambda key: _since(self._own[key].times[0], now))
        over = self.idle and _since(self._own[oldest].times[0], now) >= self.idle
        if over or self.evicts:
            self._leave(oldest, IDLE if over else EVICTED)
        return bool(over or self.evicts)

    # Compiled ones.

    def signature(self) -> tuple[Any, ...]:
        return (self.geometry, self.keys, self.exports.is_wanted)

    def attach(self) -> int:
        self.exports.begin()
        at, (first, last) = self.geometry, self.buckets
        head = Block(TableHead.layout, FOUND_AT - TableHead.layout.size + 4 * PACKETS)
        entries, index = Region((self.capacity + 2) * at.stride), Region(2 * last * LINE)
        cold = Region((self.capacity + 2) * at.cold_stride)
        keys = Region(1 if self.keys.is_usual else PACKETS * (self.keys.size + 8))
        number = len(self._workers)
        head.set(
            index=index.address + first * LINE, index_region=index.address, buckets=first, entries=entries.address,
            records=entries.address + at.record_at, cold=cold.address, keys=keys.address,
            hashes=keys.address + PACKETS * self.keys.size, capacity=self.capacity, idle=self.idle, active=self.active,
            evicts=int(self.evicts), ring=self.exports.address(number) if self.exports.is_wanted else 0,
            mark=USED,
        )  # fmt: skip
        self._heritage.append([])
        self._workers.append(Copy(head, index, entries, cold, keys))
        return head.address

    def parts(self) -> Sequence[State]:
        return (self.exports,) if self.exports.is_wanted else ()

    def addresses(self) -> list[int]:
        return [copy.address for copy in self._workers]

    def adopt(self, old: FlowTable[Any]) -> bool:
        """A table of the same keys: the very memory where it is laid out alike, else each record, by the names of its
        fields. The counts of what was refused and of what left go on."""
        if self.keys != old.keys:
            return False
        old.passed_on = True
        self.exports.go_on(old.exports)
        same = operator.attrgetter("capacity", "idle", "active", "evicts")
        if (self.signature(), same(self)) == (old.signature(), same(old)):
            self._own, self._own_refused, self._own_left = old._own, old._own_refused, old._own_left
            self._workers, self._heritage = old._workers, old._heritage
            self._old, self._before = old._old, old._before
            self.exports.adopt(old.exports)
            return True
        self._old = old
        self._own = {key: flow._replace(record=copy_values(flow.record, self.record()))
                     for key, flow in old._own.items()}  # fmt: skip
        for number, copy in enumerate(old._workers):
            self.attach()
            following = 0
            left = [h for h in old._heritage[number] if h.is_left]
            for before, geometry in [*((h.copy, h.geometry) for h in reversed(left)), (copy, old.geometry)]:
                heritage = inherit(before, geometry, self.geometry, following)
                following = heritage.block.address
                self._heritage[number].insert(0, heritage)
            self._workers[number].head.set(old=following)
        return True

    def _settle(self) -> None:
        """Let go of the table before, with its memory, once all its records are here."""
        if self._old is not None and not any(copy.head.get("old") for copy in self._workers):
            self._before = self._old.counts()
            self._old, self._heritage = None, [[] for _ in self._workers]

    def reset(self) -> None:
        self._own = {}
        self._own_left = [0] * len(REASONS)
        self._own_refused = self._looked = 0
        self.passed_on, self._old = False, None
        self._before, self._workers, self._heritage = {}, [], []
        self.exports.reset()

    def finish(self) -> None:
        if self.passed_on:
            self.exports.leave_off()
        elif self.exports.is_wanted:
            self.exports.hand_rest(self._rows(END))

    # Read-out.

    def _sum(self, field: str) -> int:
        return sum(copy.head.get(field) for copy in self._workers)

    @property
    def refused(self) -> int:
        """Packets whose flow found no place."""
        return self.counts()["refused"]

    @property
    def left(self) -> dict[str, int]:
        """How many records left the table, by reason: idle, active, evicted, closed."""
        return {reason: count for reason, count in self.counts().items() if reason != "refused"}

    def counts(self) -> dict[str, int]:
        """What was refused and what left, by this table and those that it goes on with."""
        self._settle()
        before = self._old.counts() if self._old is not None else self._before
        fields = dict(zip(REASONS, ("idled", "timed_out", "evicted", "closed"), strict=False))
        own = {reason: self._own_left[k] + self._sum(field) for k, (reason, field) in enumerate(fields.items())}
        own["refused"] = self._own_refused + self._sum("refused")
        return {what: count + before.get(what, 0) for what, count in own.items()}

    def __len__(self) -> int:
        left = sum(h.copy.head.get("live") for each in self._heritage for h in each)
        return len(self._own) + self._sum("live") + left

    def warnings(self) -> list[str]:
        name, more = self.record.__name__, f"raise capacity above {self.capacity:,}"
        found = []
        if self.refused:
            found.append(
                f"flow table of {name} is full: {self.refused:,} packets of new flows were not recorded; {more}"
            )
        if evicted := self.left["evicted"]:
            found.append(f"flow table of {name} is full: {evicted:,} records were evicted for new flows; {more}")
        return found

    def to_numpy(self) -> Any:
        """All workers' flows as one structured array: what makes a flow (version, protocol, src, dst as 16 raw bytes,
        ports; or the fields of the key), then the record's fields. Also while packets flow: each record is whole."""
        return self._rows(None)

    def to_arrow(self) -> Any:
        """The flows as a pyarrow.Table; addresses as text, absent ones null. `.to_pandas()` works on it."""
        return self.arrow(self.to_numpy())

    def arrow(self, rows: Any) -> Any:
        """Rows as `to_numpy` or the batches of `expired` have them, as a pyarrow.Table."""
        from burstline.state.arrow import arrow_table, needs_arrow

        needs_arrow()
        return arrow_table(rows, self.record.layout, texts(self.keys, rows))

    def _rows(self, reason: int | None) -> Any:
        import numpy as np

        parts = []
        for copy, heritage in zip(self._workers, self._heritage, strict=True):
            old = [(h.geometry, h.read()) for h in heritage if h.is_left]  # first: records move from there to here
            rows = read_flows(copy, self.geometry)
            moved = {bytes(entry[: self.keys.size - 2]) for entry in _unmarked(rows.entries)} if old else set()
            parts.append(self.shown(*rows, None if reason is None else [reason] * len(rows.entries)))
            for geometry, before in old:
                fresh = [bytes(e[: self.keys.size - 2]) not in moved for e in _unmarked(before.entries)]
                left = Rows(before.entries[fresh], before.cold[fresh])
                parts.append(self._renamed(self._with(left, geometry, reason), geometry))
        own = self.plain_rows([(key, flow, reason) for key, flow in self._own.items()], reason is not None)
        return np.concatenate([*parts, own])

    def _with(self, rows: Rows, geometry: Geometry, reason: int | None) -> Any:
        names = [slot.name for slot in geometry.record]
        return shown(self.keys, geometry, names, *rows, None if reason is None else [reason] * len(rows.entries))

    def _renamed(self, rows: Any, old: Geometry) -> Any:
        """Rows of a table before, with the fields of this one's records."""
        import numpy as np

        key_names = [name for name in rows.dtype.names if old.record.slot(name) is None]
        out = np.zeros(len(rows), self.plain_rows([], "reason" in rows.dtype.names).dtype)
        for name in [*key_names, *(slot.name for _, slot in shared_fields(old.record, self.layout))]:
            out[name] = rows[name]
        return out

    def shown(self, entries: Any, cold: Any, reasons: Any = None) -> Any:
        """Entries and their cold halves, as bytes, as rows."""
        names = [slot.name for slot in self.record.layout]  # whatever this pipeline makes of their places
        return shown(self.keys, self.geometry, names, entries, cold, reasons)

    def plain_rows(self, flows: Sequence[tuple[bytes, Flow, int | None]], with_reasons: bool) -> Any:
        """Interpreted flows as rows."""
        stored = as_stored(self.geometry, [(key, flow.flipped, flow.record) for key, flow, _ in flows])
        return self.shown(*stored, [reason for *_, reason in flows] if with_reasons else None)


def _unmarked(entries: Any) -> Any:
    """Entries without the two bytes in their keys that say nothing of the flow."""
    import numpy as np

    return np.delete(entries, (MARK_AT, MARK_AT + 1), axis=1)


def _milliseconds(name: str, seconds: float | None) -> int:
    """A timeout; 0 for none. Times are kept as 32 bits of milliseconds, which tell up to 24 days apart."""
    if seconds is None:
        return 0
    if not 0.001 <= seconds <= MOST_DAYS * 86_400:
        raise UsageError(f"{name}={seconds} seconds is out of range", f"give 0.001 to {MOST_DAYS * 86_400:,}")
    return round(seconds * 1000)


def _ms(nanoseconds: int) -> int:
    return (nanoseconds & (1 << 64) - 1) // MS & 0xFFFFFFFF


def _since(then: int, now: int) -> int:
    """Milliseconds; time that goes backwards is no time."""
    gap = now - then & 0xFFFFFFFF
    return 0 if gap > 0x7FFFFFFF else gap
