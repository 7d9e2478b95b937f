"""`Toeplitz`: the hash by which NICs spread flows over queues (Microsoft, "RSS hashing types" and "Verifying the RSS
hash calculation"): a window of 32 bits moves over the key, and each input bit that is set adds the window at its place.
"""

from __future__ import annotations

from typing import Any, Literal

from burstline.errors import UsageError
from burstline.native.fieldtypes import i64
from burstline.native.struct import Struct
from burstline.state.base import LookAhead
from burstline.state.region import Block, Region
from burstline.state.rule_set import RESULTS

# Microsoft's own, which drivers of many NICs set.
DEFAULT_KEY = bytes.fromhex("6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa")
# Repeats every 16 bits, so that both directions of a flow give one hash (Woo and Park, 2012).
SYMMETRIC_KEY = b"\x6d\x5a" * 26
LONGEST_INPUT = 36  # bytes: two IPv6 addresses and two ports
SHORTEST_KEY = LONGEST_INPUT + 4
Fields = Literal["ports", "addresses"]


class ToeplitzHead(Struct):
    """A worker's own."""

    tables: i64  # address: 128 bytes for each byte of the input, `nibble_tables`
    results: i64  # address: of each packet of the burst its hash, 32 bits
    ports: i64  # whether they are part of the input


class Toeplitz(LookAhead):
    """`rss = Toeplitz()`; in a stage `rss.hash(pkt)` is what a NIC with the same key writes to its descriptor, 0 to
    2**32 - 1: of both addresses, and of both ports where there are any, unless `fields` is "addresses"; 0 without IP.
    Of a fragment, the first one included, it is that of the addresses, so that all of them go one way.

    The key has 40 to 64 bytes; `symmetric` takes one that gives both directions of a flow the same hash. Packets are
    those outside of tunnels, as they were when the burst came. Raises UsageError.
    """

    def __init__(self, key: bytes | None = None, *, symmetric: bool = False, fields: Fields = "ports") -> None:
        if key is not None and symmetric:
            raise UsageError("a key and symmetric=True exclude each other", "leave one of the two out")
        self.key = bytes(key if key is not None else SYMMETRIC_KEY if symmetric else DEFAULT_KEY)
        if not SHORTEST_KEY <= len(self.key) <= 64:
            hint = f"give {SHORTEST_KEY} to 64: NICs have 40 or 52"
            raise UsageError(f"a Toeplitz key of {len(self.key)} bytes does not reach over IPv6 with ports", hint)
        if fields not in ("ports", "addresses"):
            raise UsageError(f"fields is {fields!r}", 'write "ports" or "addresses"')
        self.fields = fields
        self._heads: list[tuple[Block, Region]] = []
        self._tables: Region | None = None

    def hash(self, pkt: Any) -> int:
        """The hash of a packet."""
        return int(self.seen(pkt, self._hash))

    def look_ahead(self, pkt: Any) -> None:
        self.note(pkt, self._hash(pkt))

    def _hash(self, pkt: Any) -> int:
        header = pkt.ipv4 or pkt.ipv6
        if not header:
            return 0
        data = header.src.packed + header.dst.packed
        with_ports = pkt.tcp or pkt.udp or pkt.sctp
        if self.fields == "ports" and with_ports and not pkt.is_fragment:
            data += with_ports.sport.to_bytes(2, "big") + with_ports.dport.to_bytes(2, "big")
        return toeplitz(self.key, data)

    def signature(self) -> tuple[Any, ...]:
        return ()

    def attach(self) -> int:
        if self._tables is None:
            tables = nibble_tables(self.key)
            self._tables = Region(len(tables))
            self._tables.write(0, tables)
        head, results = Block(ToeplitzHead.layout), Region(4 * RESULTS)
        head.set(tables=self._tables.address, results=results.address, ports=int(self.fields == "ports"))
        self._heads.append((head, results))
        return head.address

    def results(self, worker: int) -> int:
        """The address of a worker's results."""
        return self._heads[worker][1].address

    def addresses(self) -> list[int]:
        return [head.address for head, _ in self._heads]

    def reset(self) -> None:
        self._heads = []


def toeplitz(key: bytes, data: bytes) -> int:
    """The hash of up to `len(key) - 4` bytes, bit by bit."""
    window, bits = int.from_bytes(key, "big"), 8 * len(key)
    found = 0
    for k in range(8 * len(data)):
        if data[k // 8] >> (7 - k % 8) & 1:
            found ^= window >> (bits - 32 - k) & 0xFFFFFFFF
    return found


def nibble_tables(key: bytes) -> bytes:
    """Of each input byte 128: what its lower half adds, then its upper half; each 64 bytes, sixteen for every byte of
    the hash from the lowest on, one for each value of the half."""
    made = bytearray()
    for place in range(LONGEST_INPUT):
        for upper in (0, 1):
            added = [toeplitz(key, bytes(place) + bytes((value << 4 * upper,))) for value in range(16)]
            made += bytes(value >> 8 * byte & 0xFF for byte in range(4) for value in added)
    return bytes(made)
