"""An elephant among mice: UDP packets of one size in a random order, which can hold the time when they are due."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

MICE, SHARE = 10_000, 0.6  # flows that have a packet each; of all packets those of the elephant
COUNT = round(MICE / (1 - SHARE))  # packets
SIZE = 512
ELEPHANT_PORT, MICE_PORT = 5001, 5002
STAMP = 42  # behind Ethernet, IPv4 and UDP
BODIES = 256  # payloads that differ


def write_traffic(path: Path) -> None:
    """COUNT packets; mouse k has the source port and address of its number, the elephant those of -1."""
    chance = np.random.default_rng(1)
    order = chance.permutation(np.r_[np.arange(MICE), np.full(COUNT - MICE, -1)])
    bodies = [body.tobytes() for body in chance.integers(0, 256, (BODIES, SIZE - STAMP), dtype=np.uint8)]
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for k, flow in enumerate(order.tolist()):
            out.write(struct.pack("<4I", 0, 0, SIZE, SIZE) + frame(flow, bodies[k % BODIES]))


def frame(flow: int, payload: bytes) -> bytes:
    source, port = flow + 1, ELEPHANT_PORT if flow < 0 else MICE_PORT
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, SIZE - 14, 0, 0, 64, 17, 0, 0x0A000001 + source, 0x0A090001)
    return bytes(12) + b"\x08\0" + ip + struct.pack("!4H", 1024 + source, port, SIZE - 34, 0) + payload
