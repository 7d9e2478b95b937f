"""Bulk TCP as a port receives it: trains of full segments, as senders' TSO makes them, of many flows in turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PAYLOAD, HEADERS = 1448, 14 + 20 + 32  # of a segment with TCP timestamps in an MTU of 1,500
FRAME = HEADERS + PAYLOAD
CHUNK = 1 << 12  # packets that are made at once


def write_trains(path: Path, flows: int, train: int, count: int) -> None:
    """A capture of `count` packets: `flows` flows, in another order each time, send `train` segments each. Payload is
    random, checksums are right."""
    random = np.random.default_rng(7)
    rounds = -(-count // (flows * train))
    order = np.concatenate([random.permutation(flows) for _ in range(rounds)])
    which = np.repeat(order, train)[:count]
    number = (np.arange(rounds * flows) // flows)[:, None] * train + np.arange(train)
    number = number.reshape(-1)[:count]  # of the segment in its flow
    start = random.integers(0, 1 << 32, flows)
    sides = random.integers(0, 256, (flows, 8), dtype=np.uint8)
    sides[:, 0], sides[:, 4] = 10, 20
    ports = random.integers(1024, 65536, (flows, 2))
    with path.open("wb") as out:
        out.write(np.array([0xA1B2C3D4, 0x00040002, 0, 0, 65535, 1], "<u4").tobytes())
        for at in range(0, count, CHUNK):
            part = slice(at, at + CHUNK)
            flow, segment = which[part], number[part]
            last = segment % train == train - 1
            out.write(_packets(random, sides[flow], ports[flow], start[flow], segment, segment // train, last))


def _packets(random: Any, sides: Any, ports: Any, start: Any, segment: Any, train: Any, last: Any) -> bytes:
    n = len(segment)
    record = np.zeros((n, 16 + FRAME), np.uint8)
    record[:, :16] = np.frombuffer(np.array([0, 0, FRAME, FRAME], "<u4").tobytes(), np.uint8)
    frame = record[:, 16:]
    frame[:, :14] = np.frombuffer(bytes.fromhex("0200000000010200000000020800"), np.uint8)
    frame[:, 14:26] = np.frombuffer(bytes.fromhex("450005dc00004000ff060000"), np.uint8)
    _put(frame, 18, segment, 2)
    frame[:, 26:34] = sides
    _put(frame, 34, ports[:, 0], 2)
    _put(frame, 36, ports[:, 1], 2)
    _put(frame, 38, start + segment * PAYLOAD, 4)
    _put(frame, 42, start ^ 0x5A5A5A5A, 4)
    frame[:, 46:54] = np.frombuffer(bytes.fromhex("8010010000000000"), np.uint8)
    frame[last, 47] = 0x18  # a sender sets PSH where what it had to send ends
    frame[:, 54:58] = np.frombuffer(bytes.fromhex("0101080a"), np.uint8)
    _put(frame, 58, 1_000_000 + train, 4)
    _put(frame, 62, 2_000_000 + train, 4)
    frame[:, HEADERS:] = np.frombuffer(random.bytes(n * PAYLOAD), np.uint8).reshape(n, PAYLOAD)
    _put(frame, 24, _checksum(frame[:, 14:34], 0), 2)
    _put(frame, 50, _checksum(frame[:, 34:], _words(frame[:, 26:34]) + 6 + FRAME - 34), 2)
    return record.tobytes()


def _put(frame: Any, at: int, value: Any, size: int) -> None:
    for k in range(size):
        frame[:, at + k] = value >> 8 * (size - 1 - k) & 0xFF


def _words(part: Any) -> Any:
    return np.ascontiguousarray(part).view(">u2").sum(1, dtype=np.int64)


def _checksum(part: Any, more: Any) -> Any:
    """RFC 1071."""
    total = _words(part) + more
    for _ in range(3):
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
