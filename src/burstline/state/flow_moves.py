"""What workers use to pass flows on to each other: who is asked which flows move, and the way for packets and records.

Between each two workers there is a `link` each way, with one writer and one reader: packets, and rows of records.
"""

from __future__ import annotations

from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct

# In a link: how many packets and rows were put and taken, each in a line of its own; the address of the room for rows;
# the room for packets.
PUT, TAKEN, ROWS_PUT, ROWS_TAKEN, ROWS_AT, PACKETS_AT = range(0, 6 * 64, 64)
PACKETS, ROWS = 1024, 64
LOOKS = 32  # entries of a table that are looked at between two bursts


class Sifting(Struct):
    """The question of which queue packets went to and are to go to: of mbufs, or of the packets that keys stand for."""

    burst: i64
    count: i64
    mbufs: i64  # address of their addresses, or 0
    keys: i64  # where there are no mbufs: address of flow keys of 40 bytes
    frames: i64  # address of room for what those stand for
    port: i64
    before: i64  # addresses of the answers, 32 bits each
    after: i64
    rule_before: i64  # addresses of 64 bits each: where the rule lies that decides, or 0
    rule_after: i64


class Moving(Struct):
    """One worker's, while flows move away from it."""

    index: i64  # the worker's number
    workers: i64
    unknown: i64  # bits of a rule's decision by which it is the device that chooses a queue, nobody knows which
    sift: i64  # address of the code that answers a Sifting
    sifting: i64  # address of its Sifting
    links: i64  # by worker: address of the link to it, and of the one from it
    keys: i64  # address of room for LOOKS keys
    numbers: i64  # and for the numbers of their entries, 32 bits
    row: i64  # bytes of a row: which table, then as when a record leaves a table
    tables: i64
    table: i64  # which one is looked at
    next: i64  # the entry, or listed key, that is looked at next
    listed: i64  # address of the keys of all flows that move, where they are known
    listed_count: i64  # or 0
    moved: i64  # records that went
