"""What the tests of GSO run it with."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from burstline.offload import mbuf as m
from burstline.offload.gso import gso
from gso_oracle import Large

ROOM = 70_000
LARGEST_ROOM = 65535 - 128  # bytes of a frame in an mbuf with headroom
LARGEST_PART = 65300  # bytes in an mbuf


class Machine:
    """All pools and the kernel, in a process where DPDK runs."""

    def __init__(self, headers: int = 1023, indirect: int = 2047, copies: int = 255) -> None:
        from burstline.dpdk import eal
        from burstline.dpdk.binding import native
        from burstline.dpdk.pool import Pool
        from burstline.dpdk.pools import Pools

        eal.start(huge=False)
        self.native = native
        self.source, self.small = Pool(63, data_room=LARGEST_ROOM), Pool(255, data_room=0)
        self.headers, self.indirect = Pool(headers, data_room=256), Pool(indirect, data_room=0)
        self.copies = Pools(dict.fromkeys((256, 2048, LARGEST_ROOM), copies), Pool)
        self.out = (ctypes.c_int64 * ROOM)()

    def segmenter(self, copied: bool = False, **options: Any) -> gso.Segmenter:
        if copied:
            return gso.Segmenter(self.native.SYMBOLS, copies=self.copies, **options)
        return gso.Segmenter(self.native.SYMBOLS, headers=self.headers, indirect=self.indirect, **options)

    def run(self, segmenter: gso.Segmenter, mbuf: int, room: int = ROOM) -> list[int]:
        return self.out[: gso.segment(segmenter.address, mbuf, ctypes.addressof(self.out), room)]

    def packet(self, large: Large, segsz: int, layout: list[int], kinds: list[str]) -> tuple[int, list[Any]]:
        """The mbuf, and what must live as long as it does."""
        import mbuf_kinds as memory

        frame, made, kept = large.frame, [], []
        for size in [*layout, LARGEST_PART, LARGEST_PART]:
            part, frame = frame[:size], frame[size:]
            kind = kinds[len(made) % len(kinds)]
            if kind == "external":
                kept.append(memory.External(part))
                made.append(kept[-1].mbuf(self.small, len(part)))
            else:
                made.append(self.source.new(part))
                if kind == "indirect":
                    made[-1] = memory.indirect(self.small, made[-1])
        mbuf = memory.chain(made)
        kept_flags = memory.get(mbuf, m.OL_FLAGS, 8) | m.TX_VLAN  # what has nothing to do with this stays
        gone = m.RX_LRO | m.RX_L4_CKSUM_NONE | m.RX_IP_CKSUM_GOOD
        self.native.mbuf_mark(mbuf, kept_flags | gone | large.flags, large.lengths(segsz), 0x1234, 77)
        return mbuf, kept

    @property
    def lost(self) -> int:
        pools = self.source, self.small, self.headers, self.indirect
        return sum(pool.in_use for pool in pools) + self.copies.in_use

    @contextmanager
    def nothing_lost(self) -> Iterator[None]:
        before = self.lost
        yield
        assert self.lost == before, f"{self.lost - before} mbufs lost"
