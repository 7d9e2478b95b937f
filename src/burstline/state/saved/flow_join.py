"""Flow tables of captures that follow each other, put together as one run over them would have done it.

A flow's records are in the order of time: those that left their table, then the open one. An open record and the first
one of the same flow in a later capture are one, unless the flow was idle between them for the table's timeout, or the
record would be older than its active timeout: then it left there. How fields go together, the table's `merge` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from burstline.state.flow_head import ACTIVE, IDLE, MARK_AT, SIDE
from burstline.state.flow_table import FlowTable
from burstline.state.saved.kind import Copy, total

OPEN = -1  # in place of the reason why a record left
LONGEST = 0x7FFFFFFF  # ms: more is time that goes back


def join_flows(table: FlowTable[Any], copies: Sequence[Copy]) -> Copy:
    """One copy of all, given in the order of their captures."""
    import numpy as np

    keys, times, records, reasons = (
        np.concatenate([copy[name] for copy in copies]) for name in ("keys", "times", "records", "reasons")
    )
    counts = total(copies, "counts")
    if not len(keys) or table.merge == "apart":
        return {"keys": keys, "times": times, "records": records, "reasons": reasons, "counts": counts}
    order, first_of_flow = _by_flow(keys)
    reasons = reasons[order]
    goes_on = ~first_of_flow
    goes_on[1:] &= reasons[:-1] == OPEN
    _time_out(table, goes_on, times[order], reasons, counts)
    first = np.flatnonzero(~goes_on)
    began, last = order[first], np.append(first[1:], len(keys)) - 1
    came = np.argsort(began)  # by when a record began, as a table has them
    assert isinstance(table.merge, Mapping)
    joined = np.empty(len(first), records.dtype)
    for name in joined.dtype.names or ():
        joined[name] = _joined(table.merge[name], records[name][order], first, last)[came]
    began, last = began[came], last[came]
    newest = np.stack([times[order[last], 0], times[began, 1]], axis=1)
    return {"keys": keys[began], "times": newest, "records": joined, "reasons": reasons[last], "counts": counts}


def _by_flow(keys: Any) -> tuple[Any, Any]:
    """The order in which records of a flow follow each other, as they came; and of each whether it is the first of its
    flow."""
    import numpy as np

    plain = keys.copy()
    plain[:, MARK_AT + 1] &= 0xFF ^ (SIDE >> 8)
    words = plain.view("<u8")
    # Numbers of records in the place of the hashes' low bits: vectors sort numbers, and no two are the same.
    bits = np.uint64(len(words).bit_length())
    mixed = np.sort(_hashes(words) >> bits << bits | np.arange(len(words), dtype="u8"))
    order, hashes = (mixed & ((np.uint64(1) << bits) - np.uint64(1))).astype("i8"), mixed >> bits
    clash = _differ(words[order]) & np.append(False, hashes[1:] == hashes[:-1])
    for value in np.unique(hashes[clash]):  # flows with one hash: by all of the key
        alike = slice(np.searchsorted(hashes, value, "left"), np.searchsorted(hashes, value, "right"))
        part = order[alike]
        order[alike] = part[np.lexsort((part, *words[part].T))]
    return order, _differ(words[order])


def _hashes(words: Any) -> Any:
    import numpy as np

    hashed = np.zeros(len(words), "u8")
    for word in range(words.shape[1]):
        hashed = (hashed ^ words[:, word]) * np.uint64(0x9E3779B97F4A7C15)
        hashed ^= hashed >> np.uint64(29)
    return hashed


def _differ(rows: Any) -> Any:
    """Which of them is another one than the row before."""
    import numpy as np

    found = np.ones(len(rows), bool)
    found[1:] = rows[1:, 0] != rows[:-1, 0]
    for column in range(1, rows.shape[1]):
        found[1:] |= rows[1:, column] != rows[:-1, column]
    return found


def _time_out(table: FlowTable[Any], goes_on: Any, times: Any, reasons: Any, counts: Any) -> None:
    """Where one record does not go on in the next one after all."""
    import numpy as np

    def since(then: Any, now: Any) -> Any:
        gap = now - then  # of 32 bits, which wrap around
        return np.where(gap > LONGEST, 0, gap)

    def split(over: Any, reason: int) -> None:
        goes_on[over] = False
        reasons[over - 1] = reason
        counts[reason] += len(over)

    if table.idle:
        over = np.flatnonzero(goes_on)
        split(over[since(times[over - 1, 0], times[over, 1]) >= table.idle], IDLE)
    while table.active:
        first = np.flatnonzero(~goes_on)
        began = np.repeat(times[first, 1], np.diff(np.append(first, len(goes_on))))
        over = np.flatnonzero(goes_on & (since(began, times[:, 1]) >= table.active))
        if not len(over):
            break
        record = np.searchsorted(first, over, side="right")
        split(over[np.unique(record, return_index=True)[1]], ACTIVE)  # the first one of each: others may be young then


def _joined(rule: str, values: Any, first: Any, last: Any) -> Any:
    import numpy as np

    if rule in ("first", "last"):
        return values[first if rule == "first" else last]
    combine = {"add": np.add, "min": np.minimum, "max": np.maximum, "or": np.bitwise_or}[rule]
    return combine.reduceat(values, first)


def close_idle(table: FlowTable[Any], copy: Copy) -> Copy:
    """The captures are over: open records that were idle for the timeout before the last packet have left by then."""
    import numpy as np

    if not table.idle or not len(copy["keys"]):
        return copy
    seen = copy["times"][:, 0]
    newest = seen[np.argmax((seen - seen[0]).astype("u4").view("i4"))]
    over = (copy["reasons"] == OPEN) & ((newest - seen).astype("u4").view("i4") >= table.idle)
    reasons, counts = copy["reasons"].copy(), copy["counts"].copy()
    reasons[over] = IDLE
    counts[IDLE] += int(over.sum())
    return {**copy, "reasons": reasons, "counts": counts}
