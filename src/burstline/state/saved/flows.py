"""Saving a FlowTable: keys, times and records by the names of their fields, whatever the layout.

Of a run over one capture, records that left the table are kept as well (`Left`): a flow may go on in the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from burstline.native.kernel import Kernel
from burstline.state.flow_exports import FlowExports
from burstline.state.flow_head import END, LINE, LOAD, MARK_AT, REASONS, SIDE, USED, Geometry, TableHead
from burstline.state.flow_keys import FieldKeys
from burstline.state.flow_read import Rows, read_flows
from burstline.state.flow_table import FlowTable
from burstline.state.saved.flow_join import OPEN, join_flows
from burstline.state.saved.kind import Copy, Joinable, total

COUNTS = ("idled", "timed_out", "evicted", "closed", "refused")  # of a head
_fill = Kernel("burstline.state.saved.flow_fill_kernel:fill", TableHead, int, int, int, int)


class Flows(Joinable[FlowTable[Any]]):
    def parameters(self, state: FlowTable[Any]) -> list[Any]:
        """Not the record: fields are put back by their names, as a swap does."""
        keys = state.keys
        return [list(keys.fields)] if isinstance(keys, FieldKeys) else [repr(keys)]

    def save(self, state: FlowTable[Any]) -> Sequence[Copy]:
        import numpy as np

        state._settle()
        found = []
        for number, (copy, heritage) in enumerate(zip(state._workers, state._heritage, strict=True)):
            old = [(h.geometry, h.read()) for h in heritage if h.is_left]  # first: records move from there to here
            rows = _portable(state, state.geometry, read_flows(copy, state.geometry))
            for geometry, before in old:
                rows = _without_moved(rows, _portable(state, geometry, before))
            counts = np.array([copy.head.get(name) for name in COUNTS], "i8")
            if number == 0:
                before_swaps = state._old.counts() if state._old is not None else state._before
                counts += [before_swaps.get(name, 0) for name in (*REASONS[:END], "refused")]
            found.append({**rows, "counts": counts})
        return found

    def join(self, state: FlowTable[Any], copies: Sequence[Copy]) -> list[Copy]:
        return [join_flows(state, copies)]

    def put(self, state: FlowTable[Any], worker: int, copies: Sequence[Copy]) -> None:
        """As many as there is room for; those that there is none for are counted as refused."""

        copy, at = state._workers[worker], state.geometry
        head = copy.head
        for name, count in zip(COUNTS, total(copies, "counts").tolist(), strict=True):
            head.set(**{name: head.get(name) + count})
        for each in copies:
            first, room = head.get("used") + 1, state.capacity - head.get("used")
            count = min(room, len(each["keys"]))
            head.set(refused=head.get("refused") + len(each["keys"]) - count)
            _write(state, copy.entries, copy.cold, first, {name: each[name][:count] for name in _COLUMNS})
            last = first + count - 1
            head.set(used=last, live=head.get("live") + count)
            if first == 1:
                self._make_index(state, worker)
            _fill(head.address, at.stride, 0 if state.keys.is_usual else at.key // 8, first, last)

    def _make_index(self, state: FlowTable[Any], worker: int) -> None:
        """Of the size that it grows to with as many flows as all copies may bring: it is not grown here."""
        head, last = state._workers[worker].head, state.buckets[1]
        buckets = head.get("buckets")
        while buckets < last and state.capacity > LOAD * buckets:
            buckets *= 2
        head.set(buckets=buckets, index=head.get("index_region") + buckets * LINE)

    def show(self, state: FlowTable[Any], copy: Copy) -> None:
        """Have Python read the open records of this, however many they are, and nothing else."""
        import numpy as np

        state.reset()
        rows = still_open(copy)
        capacity, state.capacity = state.capacity, max(state.capacity, len(rows["keys"]))
        try:
            state.attach()
        finally:
            state.capacity = capacity
        worker = state._workers[0]
        _write(state, worker.entries, worker.cold, 1, rows)
        worker.head.set(used=len(rows["keys"]), live=len(rows["keys"]))
        worker.head.set(**dict(zip(COUNTS, np.asarray(copy["counts"]).tolist(), strict=True)))

    def left(self, state: FlowTable[Any], copy: Copy) -> Any:
        """The records that left, as the table's handler gets them."""
        import numpy as np

        is_left = copy["reasons"] != OPEN
        left = {name: copy[name][is_left] for name in _COLUMNS}
        at, count = state.geometry, len(left["keys"])
        hot, cold = np.zeros((count, at.stride), "u1"), np.zeros((count, at.cold_stride), "u1")
        _fill_rows(state, hot, cold, left)
        return state.shown(hot, cold, copy["reasons"][is_left])


def still_open(copy: Copy) -> Copy:
    """The same without the records that left."""
    is_open = copy["reasons"] == OPEN
    return {**{name: copy[name][is_open] for name in (*_COLUMNS, "reasons")}, "counts": copy["counts"]}


class Left:
    """Takes the place of a table's handler in a run over one capture, and keeps what left the table."""

    def __init__(self, table: FlowTable[Any]) -> None:
        self.table = table
        self.parts: list[Copy] = []
        exports: FlowExports = table.exports
        self._before = exports._handler, exports.outlets
        exports._handler, exports.outlets = _nobody, []
        exports._give = self._keep  # type: ignore[method-assign]  # before rows are made for the handler

    def undo(self) -> None:
        """The handler has its place again."""
        exports = self.table.exports
        exports._handler, exports.outlets = self._before
        del exports.__dict__["_give"]

    def _keep(self, batch: Any) -> None:
        import numpy as np

        rows = Rows(np.ascontiguousarray(batch["entry"]), np.ascontiguousarray(batch["cold"]))
        part = _portable(self.table, self.table.geometry, rows)
        self.parts.append({**part, "reasons": batch["reason"].astype("i1")})

    def taken(self, copy: Copy) -> Copy:
        """The records that left since it was asked last, in their order, then the others."""
        import numpy as np

        parts, self.parts = [*self.parts, copy], []
        return {**{name: np.concatenate([part[name] for part in parts]) for name in (*_COLUMNS, "reasons")},
                "counts": copy["counts"]}  # fmt: skip


_COLUMNS = ("keys", "times", "records")


def _nobody(rows: Any) -> None:
    """Has the table hand on what leaves it."""


def _portable(table: FlowTable[Any], at: Geometry, rows: Rows) -> dict[str, Any]:
    """Keys, of which the table's own two bytes say only which way the first packet went; times of the last and first
    packet in ms, or none; records; all of them open."""
    import numpy as np

    count = len(rows.entries)
    keys = np.ascontiguousarray(rows.entries[:, : at.key])
    keys[:, MARK_AT] = 0
    keys[:, MARK_AT + 1] &= SIDE >> 8
    times = np.ascontiguousarray(rows.entries[:, at.key : at.key + 8]).view("<u4") if at.times and count else None
    records = np.zeros(count, [(slot.name, slot.type.numpy) for slot in at.record])
    for half, whole, base in ((0, rows.entries, at.record_at), (1, rows.cold, 0)):
        for slot in at.record:
            if slot.half == half and count:
                records[slot.name] = _column(whole, base + slot.offset, slot)
    reasons = np.full(count, OPEN, "i1")
    return {"keys": keys, "times": np.zeros((count, 2), "u4") if times is None else times.reshape(count, 2),
            "records": records, "reasons": reasons}  # fmt: skip


def _column(rows: Any, at: int, slot: Any) -> Any:
    import numpy as np

    found = np.ascontiguousarray(rows[:, at : at + slot.type.size])
    return found if slot.type.kind == "ipv6" else found.view(slot.type.numpy)[:, 0]


def _without_moved(rows: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Rows, and those of a table before whose flows are not among them, by the names of their fields."""
    import numpy as np

    moved = {key.tobytes() for key in rows["keys"]}
    fresh = [key.tobytes() not in moved for key in before["keys"]]
    records = np.zeros(sum(fresh), rows["records"].dtype)
    _copy_fields(records, before["records"][fresh])
    parts = {name: np.concatenate([rows[name], before[name][fresh]]) for name in ("keys", "times", "reasons")}
    return {**parts, "records": np.concatenate([rows["records"], records])}


def _copy_fields(to: Any, records: Any) -> None:
    """By name, where both are of a kind; an unsigned number may get more or fewer bits (flow_inherit.shared_fields)."""
    for name in set(to.dtype.names) & set(records.dtype.names):
        a, b = records.dtype[name], to.dtype[name]
        if a == b or (a.kind == b.kind == "u" and not a.shape and not b.shape):
            to[name] = records[name]


def _write(table: FlowTable[Any], entries: Any, cold: Any, first: int, rows: Copy) -> None:
    at, count = table.geometry, len(rows["keys"])
    hot_rows = entries.numpy("u1", count * at.stride, first * at.stride).reshape(count, at.stride)
    cold_rows = cold.numpy("u1", count * at.cold_stride, first * at.cold_stride).reshape(count, at.cold_stride)
    _fill_rows(table, hot_rows, cold_rows, rows)
    hot_rows[:, MARK_AT + 1] |= USED >> 8


def _fill_rows(table: FlowTable[Any], hot: Any, cold: Any, rows: Copy) -> None:
    """Entries and cold halves, of zeros, from what `_portable` gave, perhaps of another layout."""
    import numpy as np

    at = table.geometry
    hot[:, : at.key] = rows["keys"]
    if at.times:
        hot[:, at.key : at.key + 8] = np.ascontiguousarray(rows["times"]).astype("<u4").view("u1").reshape(-1, 8)
    records = np.zeros(len(hot), [(slot.name, slot.type.numpy) for slot in at.record])
    _copy_fields(records, rows["records"])
    for slot in at.record:
        whole, base = (cold, 0) if slot.half else (hot, at.record_at)
        column = np.ascontiguousarray(records[slot.name])
        raw = column.view("u1").reshape(len(hot), slot.type.size)
        whole[:, base + slot.offset : base + slot.offset + slot.type.size] = raw
