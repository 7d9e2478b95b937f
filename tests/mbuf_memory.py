"""mbufs in plain memory, for kernels that know nothing else of DPDK: chains of any layout, and what became of them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from burstline.offload import mbuf as m
from burstline.state.region import Region

HEADROOM, ROOM = 128, 2048


@dataclass
class Chain:
    """What an mbuf says, and the bytes of its chain."""

    data: bytes
    flags: int
    segsz: int
    mbufs: list[int]
    lengths: list[int] = field(default_factory=list)  # of each mbuf of the chain


class MbufMemory:
    """`count` mbufs with `room` bytes each behind the headroom."""

    def __init__(self, count: int, room: int = ROOM) -> None:
        self.room, self.stride = room, m.SIZE + HEADROOM + room
        self._region = Region(count * self.stride)
        self.free = [self._region.address + k * self.stride for k in reversed(range(count))]
        self.pointers = Region(8 * 4096)

    def _at(self, mbuf: int) -> int:
        return mbuf - self._region.address

    def get(self, mbuf: int, offset: int, size: int) -> int:
        return int.from_bytes(self._region.read(self._at(mbuf) + offset, size), "little")

    def set(self, mbuf: int, offset: int, size: int, value: int) -> None:
        self._region.write(self._at(mbuf) + offset, value.to_bytes(size, "little"))

    def new(self, frame: bytes, flags: int, cuts: Sequence[int] = (), **fields: int) -> int:
        """An mbuf with the frame, cut behind these bytes into a chain. `fields` of the first: refcnt, vlan_tci,
        mark."""
        ends = [*sorted(c for c in cuts if 0 < c < len(frame)), len(frame)]
        mbufs = [self.free.pop() for _ in ends]
        for mbuf, start, end, following in zip(mbufs, [0, *ends], ends, [*mbufs[1:], 0], strict=False):
            part = frame[start:end]
            assert len(part) <= self.room
            self._region.write(self._at(mbuf), bytes(m.SIZE))
            self.set(mbuf, m.BUF_ADDR, 8, mbuf + m.SIZE)
            self.set(mbuf, m.DATA_OFF, 2, HEADROOM)
            self.set(mbuf, m.REFCNT, 2, 1)
            self.set(mbuf, m.NB_SEGS, 2, 1)
            self.set(mbuf, m.BUF_LEN, 2, HEADROOM + self.room)
            self.set(mbuf, m.DATA_LEN, 2, len(part))
            self.set(mbuf, m.NEXT, 8, following)
            self.set(mbuf, m.TX_OFFLOAD, 8, 0x1234567)  # of an earlier packet
            self._region.write(self._at(mbuf) + m.SIZE + HEADROOM, part)
        first = mbufs[0]
        self.set(first, m.PKT_LEN, 4, len(frame))
        self.set(first, m.NB_SEGS, 2, len(mbufs))
        self.set(first, m.OL_FLAGS, 8, flags)
        self.set(first, m.REFCNT, 2, fields.get("refcnt", 1))
        self.set(first, m.VLAN_TCI, 2, fields.get("vlan_tci", 0))
        self.set(first, m.HASH + 4, 4, fields.get("mark", 0))
        return first

    def read(self, mbuf: int) -> Chain:
        """The chain, whose lengths and links must agree."""
        parts, mbufs, at = [], [], mbuf
        while at:
            mbufs.append(at)
            start = self._at(at) + m.SIZE + self.get(at, m.DATA_OFF, 2)
            parts.append(self._region.read(start, self.get(at, m.DATA_LEN, 2)))
            at = self.get(at, m.NEXT, 8)
        data = b"".join(parts)
        assert len(data) == self.get(mbuf, m.PKT_LEN, 4)
        assert len(mbufs) == self.get(mbuf, m.NB_SEGS, 2)
        offload = self.get(mbuf, m.TX_OFFLOAD, 8)
        flags = self.get(mbuf, m.OL_FLAGS, 8)
        segsz = offload >> m.SEGSZ_SHIFT & m.SEGSZ_MASK
        return Chain(data, flags, segsz, mbufs, [len(p) for p in parts])

    def image(self, mbuf: int) -> bytes:
        """All that is in memory of one mbuf."""
        return self._region.read(self._at(mbuf), self.stride)

    def addresses(self, mbufs: Sequence[int]) -> int:
        """Where the addresses of these are, in an array."""
        self.pointers.write(0, struct.pack(f"<{len(mbufs)}q", *mbufs))
        return self.pointers.address

    def give(self, chain: Chain) -> None:
        for mbuf in chain.mbufs:
            assert mbuf not in self.free
            self.free.append(mbuf)
