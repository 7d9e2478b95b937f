"""A queue with GRO behind it, in memory of the test's own."""

from __future__ import annotations

from burstline.offload.gro.gro import Merging, flush_kernel, gro_kernel
from gro_model import Packet
from mbuf_memory import Chain, MbufMemory


class Line:
    """A queue with GRO behind it. What comes out is told by the numbers of the packets that went in."""

    def __init__(self, merging: Merging, mbufs: int = 1024) -> None:
        self.merging, self.memory = merging, MbufMemory(mbufs)
        self.numbers: dict[int, int] = {}  # of packets, by their first mbuf
        self.images: dict[int, bytes] = {}
        self.packets: list[Packet] = []

    def receive(self, packets: list[Packet], now: int = 0) -> list[tuple[list[int], Chain]]:
        mbufs = []
        for p in packets:
            mbuf = self.memory.new(p.segment.frame(), p.flags, p.cuts, refcnt=p.refcnt, vlan_tci=p.vlan_tci)
            assert mbuf not in self.numbers
            self.numbers[mbuf] = len(self.packets)
            self.images[mbuf] = self.memory.image(mbuf)
            self.packets.append(p)
            mbufs.append(mbuf)
        at, room = self.memory.addresses(mbufs), 2 * len(mbufs)
        return self._out(gro_kernel(self.merging.address, at, len(mbufs), at + 8 * len(mbufs), room, now), len(mbufs))

    def flush(self, now: int = 0, all: bool = True, room: int = 64) -> list[tuple[list[int], Chain]]:
        at = self.memory.addresses([])
        return self._out(flush_kernel(self.merging.address, at, room, now, int(all)), 0)

    def _out(self, n: int, before: int) -> list[tuple[list[int], Chain]]:
        found = []
        for k in range(before, before + n):
            mbuf = self.memory.pointers.i64(8 * k)
            chain = self.memory.read(mbuf)
            numbers = [self.numbers.pop(a) for a in chain.mbufs if a in self.numbers]
            if len(numbers) == 1:
                assert self.memory.image(mbuf) == self.images[mbuf], "a packet that was not merged is another now"
            self.memory.give(chain)  # each mbuf once, and all of them
            found.append((numbers, chain))
        return found
