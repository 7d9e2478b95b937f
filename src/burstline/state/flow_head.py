"""What compiled code works with in a flow table: the head of a worker's copy, and where things lie in an entry.

The index is buckets of one cache line: ten tags of 16 bits, ten numbers of entries, and how many entries found this
bucket full on their way to a later one. An entry is one cache line where key, times and the record's hot half fit into
it; the cold half of a record lies in another array, at the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

from burstline.native.fieldtypes import i64
from burstline.native.struct import Layout, Struct

LINE = 64
SLOTS, LOAD = 10, 8  # entries that a bucket has room for, and that it has on average at most
NUMBERS_AT, OVERFLOW_AT = 2 * SLOTS, 6 * SLOTS  # in a bucket
FIRST_BUCKETS = 512
MARK_AT = 6  # in an entry's key: 16 bits that are the table's own
USED, SIDE, BURST_BITS = 1 << 15, 1 << 14, 14  # of these bits: see flow_read.py
IDLE, ACTIVE, EVICTED, CLOSED, END = range(5)  # why a record left the table
REASONS = ("idle", "active", "evicted", "closed", "end")


class TableHead(Struct):
    """One worker's table. Entries are numbered from 1. The worker writes all of it; readers read `began`, `ended` and
    the counts. Behind it lies what was foreseen of each packet of a burst: an entry's number of 32 bits, or 0."""

    index: i64  # of `buckets` buckets
    buckets: i64
    entries: i64
    mark: i64  # of this burst, as entries bear it
    keys: i64  # by packet of the burst, where the table has keys of its own
    hashes: i64
    records: i64  # address of the record of entry 0
    cold: i64  # of its cold half
    live: i64
    used: i64  # entries from 1 to this one were given out
    free: i64  # the first of those that were given back, or 0: the next one lies in its key
    capacity: i64
    refused: i64
    evicted: i64
    idled: i64  # records that went for an idle timeout
    timed_out: i64  # and for an active one
    closed: i64
    idle: i64  # timeouts in milliseconds; 0: none
    active: i64
    evicts: i64  # what a full table does: evict (1) or refuse (0)
    ring: i64  # where records go that leave, a DigestHead, or 0
    old_index: i64  # while the table grows: what is left of the index before
    old_buckets: i64
    cursor: i64  # the first bucket there that is left
    index_region: i64  # an index of n buckets lies n buckets into it, so growing needs no memory
    swept_at: i64  # milliseconds
    sweep: i64  # the entry to look at next
    old: i64  # address of what is left of a table before a swap (flow_inherit.Inherited), or 0
    began: i64  # bursts
    ended: i64


FOUND_AT = -(-TableHead.layout.size // LINE) * LINE
PACKETS = 1 << 15  # of a burst, at most


@dataclass(frozen=True)
class Geometry:
    """Where things lie in an entry: the key, two times of 32 bits (milliseconds of the last and first packet) where the
    table needs them, the hot half of the record."""

    key: int  # bytes, a multiple of 8
    times: bool
    record: Layout

    @property
    def seen_at(self) -> int:
        return self.key

    @property
    def start_at(self) -> int:
        return self.key + 4

    @property
    def record_at(self) -> int:
        return self.key + (8 if self.times else 0)

    @property
    def stride(self) -> int:
        """Bytes an entry takes: so that none lies in two lines that fits into one."""
        size = self.record_at + self.record.size
        return next((s for s in (16, 32) if size <= s), -(-size // LINE) * LINE)

    @property
    def cold_stride(self) -> int:
        return self.record.cold_size

    @property
    def row(self) -> int:
        """Bytes of a record that leaves: its key, times and hot half as in the entry, its cold half, the reason."""
        return self.stride + self.cold_stride + 8
