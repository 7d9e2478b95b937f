"""Reading a worker's flows while it works: whole records, and the worker neither waits nor knows.

Each entry bears the number of the burst that touched it last, 14 bits of it (`mark`); the head has how many bursts
began and how many ended. A copied entry is whole if no burst that may have been under way while it was copied has
marked it, before or after: a seqlock (Lameter, "Effective synchronization on Linux/NUMA systems", 2005) for which the
writer stores nothing but a mark in a line that it is about to write.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from burstline.state.flow_head import BURST_BITS, MARK_AT, USED, Geometry
from burstline.state.region import Block, Region

AT_ONCE = 4096  # entries to copy between two looks at the head
PATIENCE = 200  # tries for an entry that is always being written, a burst apart
WINDOW = (1 << BURST_BITS) - 1


class Copy(NamedTuple):
    """One worker's memory."""

    head: Block
    buckets: Region
    entries: Region
    cold: Region
    keys: Region

    @property
    def address(self) -> int:
        return self.head.address


class Rows(NamedTuple):
    """Raw flows: entries and their cold halves, as bytes."""

    entries: Any
    cold: Any


def read_flows(copy: Copy, at: Geometry) -> Rows:
    """All flows that are in a worker's table, each record as some burst left it."""
    import numpy as np

    used = copy.head.get("used")
    hot = copy.entries.numpy("u1", (used + 1) * at.stride).reshape(used + 1, at.stride)[1:]
    cold = copy.cold.numpy("u1", (used + 1) * at.cold_stride).reshape(used + 1, at.cold_stride)[1:]
    marks = hot.view("<u2")[:, MARK_AT // 2] if used else np.zeros(0, "<u2")
    parts = [_whole(copy.head, hot[k : k + AT_ONCE], cold[k : k + AT_ONCE], marks[k : k + AT_ONCE])
             for k in range(0, used, AT_ONCE)]  # fmt: skip
    if not parts:
        return Rows(hot.copy(), cold.copy())
    return Rows(np.concatenate([p.entries for p in parts]), np.concatenate([p.cold for p in parts]))


def _whole(head: Block, hot: Any, cold: Any, marks: Any) -> Rows:
    import numpy as np

    entries, colds = np.zeros_like(hot), np.zeros_like(cold)
    left = np.arange(len(hot))
    for attempt in range(PATIENCE):
        ended = head.get("ended")
        entries[left], colds[left] = hot[left], cold[left]
        copied = entries.view("<u2")[left, MARK_AT // 2]
        after = marks[left]
        under_way = head.get("began") - ended
        since = (copied.astype("i8") - (ended + 1)) & WINDOW
        changing = (copied != after) | ((copied & USED != 0) & (since < under_way))
        left = left[changing]
        if not len(left):
            break
        time.sleep(0.00002 * min(attempt, 50))
    used = entries.view("<u2")[:, MARK_AT // 2] & USED != 0
    used[left] = False  # a worker that stands still in the middle of a burst: what it writes is nobody's yet
    return Rows(entries[used], colds[used])
