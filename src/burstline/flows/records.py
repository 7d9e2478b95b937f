"""What the flow meter keeps of each flow, and what it hands to Python of packets that are to be read there."""

from __future__ import annotations

from dataclasses import dataclass

import burstline as bl

PIECE = 1024  # bytes of a payload that go to Python at once
STREAM, DNS, QUIC, DTLS = range(1, 5)  # what pieces are of: a TCP stream, a message of DNS over UDP, datagrams
TUNNELS = ("", "vxlan", "geneve", "gtpu", "gre", "ip")  # by the number in a record
MOST_PAYLOAD = 4096


class Piece(bl.Record):
    """A part of a payload. `first` and `key` say of which flow; `place` is where in the stream."""

    first: bl.i64
    key: bl.u64
    place: bl.u32
    size: bl.u16
    kind: bl.u8
    back: bl.u8
    data: bl.bytes_[PIECE]


class Metered(bl.Record):
    """A flow; what ends in `_back` is of the direction against its first packet. Times are ns since the epoch."""

    last_there: bl.i64
    last_back: bl.i64
    packets: bl.u32
    packets_back: bl.u32
    bytes: bl.u64
    bytes_back: bl.u64
    payload_bytes: bl.u64
    payload_bytes_back: bl.u64
    min_length: bl.u16
    max_length: bl.u16
    tcp_flags: bl.u8
    tcp_flags_back: bl.u8
    min_ttl: bl.u8
    max_ttl: bl.u8
    watch: bl.u8  # what is looked for in the payload of this direction: the WATCH_ numbers of meter_stages.py
    watch_back: bl.u8
    seen: bl.u8  # bits: a SYN, a SYN with ACK, the ACK behind it, a question of DNS
    tunnel: bl.u8
    pieces: bl.u16  # how many went to Python
    early: bl.u8  # of them, those that came before the beginning of their stream
    first: bl.i64
    first_back: bl.i64
    syn_at: bl.i64
    syn_back_at: bl.i64
    syn_rtt: bl.u64
    ack_rtt: bl.u64
    key: bl.u64
    base: bl.u32  # sequence number of the stream's first byte
    base_back: bl.u32
    need: bl.u32  # bytes of the stream that Python is to get
    need_back: bl.u32
    sent: bl.u32  # bytes that it got, those of retransmissions included


def metered(payload: int) -> type[bl.Record]:
    """The record, with the first `payload` bytes of each direction's payload."""
    if not payload:
        return Metered
    kept = {name: kind for end in ("", "_back") for name, kind in (
        (f"payload{end}", bl.bytes_[payload]), (f"payload_size{end}", bl.u16))}  # fmt: skip
    made: type[bl.Record] = type("Metered", (Metered,), {"__annotations__": kept, "__module__": __name__})
    return made


@dataclass(frozen=True)
class Settings:
    """How flows are metered. Timeouts are seconds; `filter` is a pcap filter."""

    idle: float = 120.0
    active: float = 1800.0
    capacity: int = 1_000_000
    both_ways: bool = True
    tunnels: bool = False
    names: bool = True
    payload: int = 0
    filter: str = ""
