"""Routes like those of the Internet, and packets to them, from a seed.

Prefix lengths are about as frequent as in the BGP table (Geoff Huston, "BGP in 2023", potaroo.net): most IPv4 routes
are /24, most IPv6 routes /48 and /32. IPv6 routes lie in allocations of the registries (IANA, "IPv6 Global Unicast
Address Assignments"), of which few have many.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np

HOPS = 16
SIZE = 64  # bytes of a packet
LENGTHS = {
    4: {24: 600, 22: 110, 23: 100, 21: 50, 20: 45, 19: 28, 18: 15, 16: 14, 17: 9, 15: 3, 14: 2, 13: 1, 12: 1, 11: 1,
        28: 2, 32: 2},
    6: {48: 470, 32: 125, 44: 90, 40: 90, 36: 55, 46: 30, 47: 30, 45: 20, 42: 20, 29: 30, 33: 15, 34: 15, 38: 15,
        28: 5, 56: 5, 64: 5},
}  # fmt: skip
ALLOCATED = (0x20010, 0x24000, 0x26000, 0x28000, 0x2A000, 0x2C000)  # the first 20 bits; the registries' /12 and /16


class RouteList:
    """`count` routes: top 64 bits, lengths and next hops, none twice; `addresses` are random in random routes."""

    def __init__(self, version: int, count: int, seed: int = 1) -> None:
        self.version, self._random = version, np.random.default_rng([seed, version, count])
        weights = np.array(list(LENGTHS[version].values()), float)
        high, length = np.empty(0, np.uint64), np.empty(0, np.uint64)
        allocated = self._allocated(count)
        while len(high) < count:
            more = max(64, count)
            lengths = self._random.choice(list(LENGTHS[version]), more, p=weights / weights.sum()).astype(np.uint64)
            up = np.uint64(64) - lengths
            keys = np.unique(np.stack([self._places(more, allocated) >> up << up, lengths]), axis=1)
            both = np.concatenate([np.stack([high, length]), keys[:, self._random.permutation(keys.shape[1])]], axis=1)
            _, first = np.unique(both, axis=1, return_index=True)
            high, length = both[:, np.sort(first)][:, :count]
        self.high, self.length = high, length
        self.hops = self._random.integers(0, HOPS, count)

    def _allocated(self, count: int) -> Any:
        """The top 32 bits of IPv6 allocations."""
        blocks = np.array(ALLOCATED, np.uint64)[self._random.integers(0, len(ALLOCATED), count // 12 + 2)]
        inside = self._random.integers(0, 1 << 16, len(blocks)).astype(np.uint64)
        return blocks << np.uint64(12) | inside  # a /32 for one in twelve routes, as there are /32 among them

    def _places(self, count: int, allocated: Any) -> Any:
        if self.version == 4:
            return self._random.integers(1 << 24, 224 << 24, count).astype(np.uint64) << np.uint64(32)
        # Few have most routes, and networks are numbered from the first on.
        which = allocated[(len(allocated) * self._random.random(count) ** 3).astype(np.int64)]
        net = np.minimum(self._random.exponential(4096, count), 65535).astype(np.uint64)
        return (
            which << np.uint64(32) | net << np.uint64(16) | self._random.integers(0, 1 << 16, count).astype(np.uint64)
        )

    def write(self, path: Path) -> None:
        """A route a line: prefix, next hop."""
        lines = []
        for high, length, hop in zip(self.high.tolist(), self.length.tolist(), self.hops.tolist(), strict=True):
            raw = high.to_bytes(8, "big")
            text = socket.inet_ntop(*((socket.AF_INET, raw[:4]) if self.version == 4 else
                                      (socket.AF_INET6, raw + bytes(8))))  # fmt: skip
            lines.append(f"{text}/{length} {hop}\n")
        path.write_text("".join(lines))

    def addresses(self, count: int) -> Any:
        """Rows of 4 or 16 bytes."""
        which = self._random.integers(0, len(self.high), count)
        any64 = self._random.integers(0, 1 << 63, (2, count)).astype(np.uint64) << np.uint64(1)
        high = self.high[which] | any64[0] >> self.length[which]  # no route is longer than 64 bits
        words = np.stack([high, any64[1]], axis=1).astype(">u8").view("u1").reshape(count, 16)
        return np.ascontiguousarray(words[:, :4] if self.version == 4 else words)


def write_packets(path: Path, addresses: Any) -> None:
    """A capture of one UDP packet to each address, with the highest hop limit that there is."""
    count, wide = addresses.shape
    records = np.zeros((count, 16 + SIZE), "u1")
    records[:, 8:12] = records[:, 12:16] = np.frombuffer(np.uint32(SIZE).tobytes(), "u1")
    frames = records[:, 16:]
    frames[:, :12] = np.frombuffer(bytes.fromhex("020000000001020000000002"), "u1")
    if wide == 4:
        frames[:, 12:26] = np.frombuffer(bytes.fromhex("08004500003200000000ff110000"), "u1")
        frames[:, 26:30] = (192, 0, 2, 1)
        frames[:, 30:34] = addresses
        total = frames[:, 14:34].copy().view(">u2").astype(np.uint32).sum(axis=1)
        total = (total & 0xFFFF) + (total >> 16)
        frames[:, 24:26] = (~total & 0xFFFF).astype(">u2").view("u1").reshape(count, 2)
        frames[:, 34:42] = np.frombuffer(bytes.fromhex("04000009001e0000"), "u1")
    else:
        frames[:, 12:22] = np.frombuffer(bytes.fromhex("86dd60000000000a11ff"), "u1")
        frames[:, 22:38] = np.frombuffer(socket.inet_pton(socket.AF_INET6, "2001:db8::1"), "u1")
        frames[:, 38:54] = addresses
        frames[:, 54:62] = np.frombuffer(bytes.fromhex("04000009000a0000"), "u1")
    with path.open("wb") as file:
        file.write(np.array([0xA1B2C3D4, 4 << 16 | 2, 0, 0, 65535, 1], "<u4").tobytes())
        file.write(records.tobytes())
