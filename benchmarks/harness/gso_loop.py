"""c/gso.c, the loop that cuts packets: what it is called with, for ours and for DPDK's."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from burstline.dpdk.binding import native
from burstline.dpdk.pool import Pool
from burstline.dpdk.pools import Pools
from burstline.errors import BurstlineError
from burstline.offload.gso import gso

SEGSZ = 1448  # what Ethernet and TCP with timestamps leave of 1,500 bytes
PAYLOAD = 45 * SEGSZ  # as much as an mbuf holds
HEADERS = 66
Timed = Callable[[int], float]


@dataclass(frozen=True)
class Side:
    """A function that cuts, and what it is called with."""

    function: Any
    state: int


@dataclass(frozen=True)
class Packets:
    """Where large packets come from: `chunk` bytes of payload in each mbuf."""

    pool: Pool
    chunk: int


class Loop:
    def __init__(self, library: Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.segments.restype = ctypes.c_double
        self._c.make_context.restype = self._c.sample.restype = ctypes.c_int64
        self._stack = ExitStack()
        self._seeds = itertools.count(1)

    def __enter__(self) -> Loop:
        pools = [
            Pool(63, data_room=HEADERS + PAYLOAD), Pool(1023), Pool(2047, data_room=256, cache=512),
            Pool(2047, data_room=0, cache=512),
        ]  # fmt: skip
        self.large, self.received, self.headers, self.indirect = pools
        for pool in pools:
            self._stack.enter_context(pool)
        self.copies = Pools({2048: 2047}, lambda count, data_room: Pool(count, data_room=data_room, cache=512))
        self._stack.callback(self.copies.close)
        for pool in pools[:2]:
            self._c.fill(ctypes.c_void_p(pool.address), ctypes.c_uint64(7))
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self._stack.close()

    def ours(self, checksums: int, copied: bool = False) -> Side:
        pools: dict[str, Any] = (
            {"copies": self.copies} if copied else {"headers": self.headers, "indirect": self.indirect}
        )
        made = gso.Segmenter(native.SYMBOLS, checksums=checksums, **pools)
        self._stack.callback(lambda: made.counts)  # it lives as long as this
        return Side(ctypes.c_void_p(gso.segment.address), made.address)

    def dpdk(self, name: str) -> Side:
        """One of the functions in C; those that copy need headers' mbufs with room for a segment."""
        headers = self.copies.by_size[2048] if name == "dpdk_copies" else self.headers
        context = self._c.make_context(
            ctypes.c_int64(headers.address), ctypes.c_int64(self.indirect.address), ctypes.c_int64(SEGSZ)
        )
        return Side(getattr(self._c, name), context)

    def comparisons(self) -> Iterator[tuple[str, str, Timed, Timed]]:
        """Case, peer, and both sides, which return ns a segment."""
        whole, received = Packets(self.large, PAYLOAD), Packets(self.received, SEGSZ)
        port = gso.IP | gso.TCP
        for case, packets, ours, peer, theirs in (
            ("shared, from one mbuf", whole, self.ours(port), "rte_gso", "dpdk_segment"),
            ("restored, from 45 mbufs", received, self.ours(port), "rte_gso", "dpdk_segment"),
            ("shared, with checksums", whole, self.ours(0), "rte_gso and its checksums", "dpdk_checksums"),
            ("copied", whole, self.ours(port, copied=True), "rte_gso and linearize", "dpdk_copies"),
        ):
            side = self.dpdk(theirs)
            yield case, peer, self._timed(ours, packets), self._timed(side, packets)

    def _timed(self, side: Side, packets: Packets) -> Timed:
        def call(total: int) -> float:
            found: float = self._c.segments(*self._arguments(side, packets), ctypes.c_int64(total), self._seed())
            if found < 0:
                raise BurstlineError("packets were not cut", "this is a fault of the bench")
            return found

        return call

    def sample(self, side: Side, packets: Packets, seed: int) -> bytes:
        """The frames of one packet's segments, each behind its length in two bytes."""
        room = ctypes.create_string_buffer(PAYLOAD + 46 * (HEADERS + 2))
        size = self._c.sample(*self._arguments(side, packets), ctypes.c_uint64(seed), room)
        return room.raw[:size]

    def _arguments(self, side: Side, packets: Packets) -> tuple[Any, ...]:
        sizes = (ctypes.c_int64(n) for n in (PAYLOAD, packets.chunk, SEGSZ))
        return side.function, ctypes.c_int64(side.state), ctypes.c_void_p(packets.pool.address), *sizes

    def _seed(self) -> ctypes.c_uint64:
        return ctypes.c_uint64(next(self._seeds))
