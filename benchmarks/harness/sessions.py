"""Three stages over a flow table whose record takes two lines as it is declared, and packets for it. Without Numba."""

from __future__ import annotations

from typing import Any

import numpy as np

import burstline as bl
from burstline.engine.layout_report import header_lines, in_c
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct, declared
from burstline.pipeline.accesses import Accesses, accesses_of
from burstline.pipeline.layouts import layouts_of, room_of
from burstline.pipeline.needs import needs_of
from burstline.state.arrangement import lines_touched

BURST, AHEAD = 64, 16
FRAME = 64  # bytes of a packet: one line


class Session(bl.Record):
    """As a user would write it down: what is known first comes first, what is counted next to what it belongs to."""

    packets: bl.u64
    first_seen: bl.u64
    first_length: bl.u32
    first_ttl: bl.u8
    first_flags: bl.u8
    name: bl.bytes_[30]
    bytes: bl.u64
    last_seen: bl.u64


class Context(Struct):
    burst: i64
    arena: i64  # packets of 64 bytes
    order: i64  # which of them comes when, 32 bits each
    packets: i64


def sessions(flows: int, *, derived: bool) -> tuple[bl.Pipeline, Any, Accesses]:
    """The pipeline, its table with the record as derived or as declared, and what the stages touch."""
    table = bl.FlowTable(Session, capacity=flows)

    @bl.stage
    def only_ipv4(pkt: Any) -> Any:
        if not pkt.ipv4:
            return bl.DROP

    @bl.stage
    def begin(pkt: Any) -> Any:
        session = table[pkt]
        if session.packets == 0:
            session.first_seen, session.first_length, session.first_ttl = pkt.time, pkt.length, pkt.ipv4.ttl
            session.first_flags, session.name = pkt.tcp.flags, pkt.payload

    @bl.stage
    def count(pkt: Any) -> Any:
        session = table[pkt]
        session.packets += 1
        session.bytes += pkt.length
        session.last_seen = pkt.time

    pipeline = bl.Pipeline(only_ipv4, begin, count)
    accesses = accesses_of(pipeline)
    table.layout = layouts_of(accesses)[0] if derived else in_c("Session", declared(Session))
    return pipeline, table, accesses


def arena(flows: int) -> Any:
    """A TCP packet of each flow: all have other addresses and ports."""
    rows = np.zeros((flows, FRAME), "u1")
    rows[:, 12:14] = 0x08, 0x00
    rows[:, 14:24] = 0x45, 0, 0, 50, 0, 0, 0x40, 0, 64, 6
    rows[:, 46], rows[:, 47] = 0x50, 0x10
    number = np.arange(flows, dtype=">u4")
    rows[:, 26:30] = (number + 0x0A000000).astype(">u4").view("u1").reshape(flows, 4)
    rows[:, 30:34] = (number * np.uint32(2654435761)).astype(">u4").view("u1").reshape(flows, 4)
    rows[:, 34:36] = (number % 50000 + 1024).astype(">u2").view("u1").reshape(flows, 2)
    rows[:, 36:38] = 0x01, 0xBB
    return rows


def random_order(flows: int, packets: int, seed: int) -> Any:
    """Packets of uniformly random flows, and a few more that are only looked at ahead; a multiple of the burst."""
    count = packets // BURST * BURST
    return np.random.default_rng(seed).integers(0, flows, count + AHEAD, dtype=np.uint32)


def reported(flows: int, *, derived: bool) -> int:
    """Lines of memory that a packet of a known flow touches, by the layout report: its header's, a bucket of the index,
    and the record's; those of the burst are used again and again."""
    pipeline, table, accesses = sessions(flows, derived=derived)
    known = max((p for p in accesses.paths if p.end == "through"), key=lambda path: path.weight)
    fields = [name for owner, name in known.touched if owner == 0 and name]
    record = 1 + lines_touched(table.layout, fields, room_of(table))
    return len(header_lines(known.touched, needs_of(pipeline))) + 1 + record
