"""The packets of captures as arrays: when each came, of which flow it is, its length, and the hash that a NIC makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import burstline as bl
from burstline.errors import UsageError
from burstline.packet.flow_key import KEY_SIZE

KEY = ("proto", "version", "sport", "dport", "src4", "dst4", "src6", "dst6")


@dataclass(frozen=True)
class FlowPackets:
    """Columns by packet, in order of time: nanoseconds since the epoch, and the flow's number; and by flow: its key
    (packet/flow_key.py), its hash, the mean length of its packets."""

    times: Any
    numbers: Any
    keys: Sequence[bytes]
    hashes: Any
    sizes: Any


def flow_packets(paths: Sequence[str], progress: Callable[[int, int | None, int], None] | None = None) -> FlowPackets:
    """Read captures, or `gen:...`, as one. A flow is one direction of a 5-tuple; packets without IP are one flow.
    Raises CaptureError, and UsageError where there are no packets or all came at the same time."""
    from burstline.engine.offline import FileRun

    batches: list[Any] = []
    for path in paths:
        FileRun(_pipeline(batches.append), path, None, progress=progress).run()
    named = " and ".join(paths)
    if not batches:
        raise UsageError(f"{named} has no packets", "give a capture with packets in it")
    rows: Any = np.concatenate(batches)
    rows = rows[np.argsort(rows["time"], kind="stable")]
    if rows["time"][0] == rows["time"][-1]:
        hint = "rates need packets with different times; those of a Simple Packet Block have none"
        raise UsageError(f"all packets of {named} came at the same time", hint)
    parts = [np.ascontiguousarray(rows[name]).view(np.uint8).reshape(len(rows), -1) for name in KEY]
    whole = np.ascontiguousarray(np.concatenate(parts, axis=1))
    packed = whole.view([("", np.void, whole.shape[1])]).ravel()
    _, first, numbers = np.unique(packed, return_index=True, return_inverse=True)
    numbers = numbers.ravel()
    counts = np.bincount(numbers)
    sizes = np.bincount(numbers, rows["length"]) / counts
    return FlowPackets(rows["time"], numbers, [_key(rows[k]) for k in first], rows["hash"][first], sizes)


def _key(row: Any) -> bytes:
    """The flow key; of packets without IP, whatever they are, the same."""
    ports = int(row["sport"]).to_bytes(2, "little") + int(row["dport"]).to_bytes(2, "little") + b"\0\0"
    four = int(row["src4"]).to_bytes(4, "big") + int(row["dst4"]).to_bytes(4, "big")
    six: bytes = row["src6"].tobytes() + row["dst6"].tobytes()
    addresses = {4: four, 6: six}.get(int(row["version"]), b"")
    head = bytes((int(row["proto"]), int(row["version"]))) + ports
    return (head + addresses).ljust(KEY_SIZE, b"\0")


def _pipeline(handler: Callable[[Any], None]) -> bl.Pipeline:
    class Seen(bl.Record):
        time: bl.i64
        length: bl.u32
        hash: bl.u32
        src4: bl.ipv4
        dst4: bl.ipv4
        src6: bl.ipv6
        dst6: bl.ipv6
        sport: bl.u16
        dport: bl.u16
        proto: bl.u8
        version: bl.u8

    seen = bl.Digest(Seen)
    seen.batches(handler)
    rss = bl.Toeplitz()

    @bl.stage
    def note(pkt):  # type: ignore[no-untyped-def]
        one = seen.new()
        one.time, one.length, one.hash = pkt.time, pkt.length, rss.hash(pkt)
        one.src4, one.dst4 = pkt.ipv4.src, pkt.ipv4.dst
        one.src6, one.dst6 = pkt.ipv6.src, pkt.ipv6.dst
        one.proto = pkt.proto
        if pkt.ipv4:
            one.version = 4
        if pkt.ipv6:
            one.version = 6
        if pkt.tcp:
            one.sport, one.dport = pkt.tcp.sport, pkt.tcp.dport
        if pkt.udp:
            one.sport, one.dport = pkt.udp.sport, pkt.udp.dport
        if pkt.sctp:
            one.sport, one.dport = pkt.sctp.sport, pkt.sctp.dport
        return bl.CONSUME

    return bl.Pipeline(note)
