"""The burst: packets that are processed together, as columns in one block of memory with fixed offsets.

A column is an array with one element per packet. Each column starts one cache line further into its 4 KiB page than
the one before, so that the columns of one packet do not compete for the same L1 set.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

LINE = 64


@dataclass(frozen=True)
class Column:
    name: str
    width: int  # bytes an element
    meaning: str
    signed: bool = False


# What the parser finds: one set for the packet itself, and one, called `inner_...`, for what its tunnel carries.
LEVEL_COLUMNS = (
    Column("present", 4, "bit set of headers"),
    Column("l2", 4, "offset of the Ethernet header, of inner packets only"),
    Column("l3", 4, "offset of the IP or ARP header"),
    Column("l4", 4, "offset of the transport header"),
    Column("payload", 4, "offset of the payload"),
    Column("end", 4, "offset of the payload's end"),
    Column("proto", 2, "IP protocol, or EtherType without IP"),
    Column("vlan_depth", 2, "number of VLAN tags"),
    Column("mpls_depth", 2, "number of MPLS labels"),
    Column("protocols", 64, "of each protocol of the user's own: its offset, 0 without, and that of what follows"),
)
COLUMNS = (
    Column("data", 8, "address of the packet's first byte"),
    Column("captured", 4, "bytes there"),
    Column("length", 4, "bytes on the wire"),
    Column("time", 8, "nanoseconds since the epoch", True),
    Column("port", 2, "where it came from"),
    Column("segments", 4, "packets of the wire that it was merged of"),
    Column("segment_size", 4, "bytes of payload of each; 0 where it is no merged packet"),
    Column("mark", 4, "that a steering rule, or a stage, gave it; 0 for none"),
    Column("checks", 1, "of its checksums: 1 a port, or software for it, found them right; 0 nobody looked"),
    Column("link", 1, "link layer, a LINK_ number of the parser"),
    Column("owner", 1, "the worker that runs the stages over it, where several share a source"),
    *LEVEL_COLUMNS,
    Column("slow", 2, "packets that the parser's fast path leaves to its states: a list of their numbers"),
    Column("unusual", 2, "in its first element: groups of packets that the fast path is still left out for"),
    Column("verdict", 4, "what the stages said, on ports: kind in the low 8 bits, argument above"),
    Column("early", 4, "what a burst stage said, as a verdict"),
    Column("decided", 1, "which burst stage did, counted from 1; 0 where none"),
    Column("buckets", 32, "packets that wait for each of up to 16 chains: lists of numbers of 16 bits, one per chain"),
    Column("hash", 8, "of the flow key"),
    Column("key", 40, "flow key: protocol, IP version, ports, addresses (state/flow_key.py)"),
    Column("mbuf", 8, "DPDK's handle of the packet"),
)
INNER = "inner_"


@dataclass(frozen=True)
class Burst:
    """Offsets of all columns for bursts of up to `capacity` packets."""

    capacity: int

    @cached_property
    def offsets(self) -> dict[str, int]:
        offsets, at = {}, 0
        for k, column in enumerate(COLUMNS):
            at = -(-at // 4096) * 4096 + k * LINE if self.capacity >= 1024 else -(-at // LINE) * LINE
            offsets[column.name] = at
            at += column.width * self.capacity
        distance = -(-at // 4096) * 4096  # from a level's columns to those of the inner one
        return offsets | {f"{INNER}{c.name}": offsets[c.name] + distance for c in LEVEL_COLUMNS}

    @property
    def size(self) -> int:
        last = LEVEL_COLUMNS[-1]
        return -(-(self.offsets[INNER + last.name] + last.width * self.capacity) // 4096) * 4096


COLUMN = {c.name: c for c in COLUMNS} | {f"{INNER}{c.name}": replace(c, name=INNER + c.name) for c in LEVEL_COLUMNS}


class BurstColumns:
    """What compiled code is handed, to a type checker: each column as a sequence of numbers."""

    data: MutableSequence[Any]  # addresses, which the parser takes for the bytes themselves
    captured: MutableSequence[int]
    length: MutableSequence[int]
    time: MutableSequence[int]
    port: MutableSequence[int]
    segments: MutableSequence[int]
    segment_size: MutableSequence[int]
    mark: MutableSequence[int]
    checks: MutableSequence[int]
    link: MutableSequence[int]
    owner: MutableSequence[int]
    present: MutableSequence[int]
    l2: MutableSequence[int]
    l3: MutableSequence[int]
    l4: MutableSequence[int]
    payload: MutableSequence[int]
    end: MutableSequence[int]
    proto: MutableSequence[int]
    vlan_depth: MutableSequence[int]
    mpls_depth: MutableSequence[int]
    protocols: MutableSequence[int]  # addresses
    slow: MutableSequence[int]
    unusual: MutableSequence[int]
    verdict: MutableSequence[int]
    early: MutableSequence[int]
    decided: MutableSequence[int]
    buckets: MutableSequence[int]  # addresses
    hash: MutableSequence[int]
    key: MutableSequence[int]  # addresses
    mbuf: MutableSequence[int]
    inner_present: MutableSequence[int]
    inner_l2: MutableSequence[int]
    inner_l3: MutableSequence[int]
    inner_l4: MutableSequence[int]
    inner_payload: MutableSequence[int]
    inner_end: MutableSequence[int]
    inner_proto: MutableSequence[int]
    inner_vlan_depth: MutableSequence[int]
    inner_mpls_depth: MutableSequence[int]
    inner_protocols: MutableSequence[int]
