"""What GRO merged and GSO cuts again is the mbufs that came, with new headers before payloads that nobody read."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from burstline import dpdk
from burstline.offload import mbuf as m
from dpdk_live import alone
from gro_frames import ACK, PSH, TIMESTAMPS, Ip, Segment, Tunnel, cut

pytestmark = pytest.mark.skipif(not dpdk.available(), reason="built without DPDK")
GOOD = m.RX_IP_CKSUM_GOOD | m.RX_L4_CKSUM_GOOD
SIZE = 1000
KINDS = {
    "TCP over IPv4": Segment(options=TIMESTAMPS, flags=ACK | PSH),
    "TCP over IPv4, without options": Segment(),
    "TCP over IPv6, tagged": Segment(Ip(six=True), options=TIMESTAMPS, vlans=(7,)),
    "UDP over IPv4": Segment(udp=True),
    "UDP over IPv6": Segment(Ip(six=True), udp=True),
    "TCP in VXLAN": Segment(options=TIMESTAMPS, tunnel=Tunnel()),
}


class Line:
    """A port of rings, and the software around it that merges, asks, and cuts; `sums` are kept or not."""

    def __init__(self, sums: bool = True) -> None:
        from burstline.dpdk import eal
        from burstline.dpdk.binding import native
        from burstline.dpdk.pool import Pool
        from burstline.offload.checksums.checksums import ARRIVED_PARTIAL, Checksums
        from burstline.offload.gro.gro import Merging
        from burstline.offload.gso import gso
        from burstline.state.region import Block, Region

        eal.start(huge=False, memory=256)
        self.native, self.segment, self.partial = native, gso.segment, ARRIVED_PARTIAL
        flag = native.mbuf_flag("burstline_payload_sum") if sums else 0
        assert (flag != 0) == sums and flag == (native.mbuf_flag("burstline_payload_sum") if sums else 0)
        self.flag = flag
        self.received, self.headers, self.indirect = Pool(255), Pool(255, data_room=256), Pool(255, data_room=0)
        self.merging = Merging(sums=flag)
        self.cutting = gso.Segmenter(native.SYMBOLS, headers=self.headers, indirect=self.indirect, sums=flag)
        self.checksums, self.room = Block(Checksums.layout), Region(8 * 512)
        self.checksums.set(partial=1, hardware=0)

    def merged(self, frames: list[bytes]) -> tuple[list[int], int]:
        """The mbufs that came, and the one that they became."""
        from burstline.offload.checksums.checksums import request
        from burstline.offload.gro.gro import gro_kernel

        mbufs = [self.received.new(frame) for frame in frames]
        for k, mbuf in enumerate(mbufs):
            self.native.mbuf_mark(mbuf, GOOD, 0)
            self.room.set_i64(8 * k, mbuf)
        at = self.room.address
        assert gro_kernel(self.merging.address, at, len(mbufs), at + 2048, 128, 0) == 1
        request(self.checksums.address, at + 2048, 1, self.partial)
        return mbufs, self.room.i64(2048)

    def cut(self, mbuf: int) -> list[int]:
        n = self.segment(self.cutting.address, mbuf, self.room.address, 256)
        return [self.room.i64(8 * k) for k in range(n)]

    def bytes(self, mbufs: list[int]) -> list[bytes]:
        return [self.native.mbuf_bytes(mbuf) for mbuf in mbufs]

    def free(self, mbufs: list[int]) -> None:
        self.native.free(mbufs)
        assert [pool.in_use for pool in (self.received, self.headers, self.indirect)] == [0, 0, 0]


def senders(whole: Segment, seed: int) -> list[bytes]:
    """Its segments, the last one shorter."""
    payload = random.Random(seed).randbytes(SIZE * 9 + 1 + seed % (SIZE - 1))
    return [segment.frame() for segment in cut(replace(whole, payload=payload, seq=seed * 0x0FFFFFF1), SIZE)]


def restored(sums: bool) -> int:
    import mbuf_kinds as memory

    line = Line(sums)
    for whole in KINDS.values():
        for seed in range(12):
            frames = senders(whole, seed)
            mbufs, packet = line.merged(frames)
            made = line.cut(packet)
            assert made == mbufs and line.bytes(made) == frames
            for mbuf, frame in zip(made, frames, strict=True):
                assert line.native.mbuf_segments(mbuf) == 1 and memory.get(mbuf, m.PKT_LEN, 4) == len(frame)
                assert memory.get(mbuf, m.DATA_LEN, 2) == len(frame)
                assert not memory.get(mbuf, m.OL_FLAGS, 8) & (m.RX_LRO | line.flag)
            assert (line.headers.in_use, line.indirect.in_use) == (0, 0)
            line.free(made)
    return line.cutting.counts.packets


@pytest.mark.parametrize("sums", [True, False])
def test_segments_are_the_mbufs_that_came_as_they_came(sums: bool) -> None:
    assert alone(restored, sums) == 12 * len(KINDS)


def rewritten() -> int:
    """A stage changes addresses; then all segments are those of the new sender, whose payload nobody reads: where one
    byte has changed since, the checksum is that of the byte that was there."""
    import mbuf_kinds as memory

    line = Line()
    for number, whole in enumerate((KINDS["TCP over IPv4"], KINDS["UDP over IPv4"])):
        mbufs, packet = line.merged(senders(whole, number))
        view = line.native.mbuf_view(packet)
        view[26:30] = b"\x63\x01\x02\x03"
        spoilt = memory.get(mbufs[4], m.BUF_ADDR, 8) + memory.get(mbufs[4], m.DATA_OFF, 2) + 500
        memory.put(spoilt, 0, 1, memory.get(spoilt, 0, 1) ^ 0x55)
        made = line.cut(packet)
        memory.put(spoilt, 0, 1, memory.get(spoilt, 0, 1) ^ 0x55)
        ip = replace(whole.ip, src=b"\x63\x01\x02\x03")
        # IPv4's own checksum changed with the address, of which stages take care, or the sender: here GSO.
        assert line.bytes(made) == senders(replace(whole, ip=ip), number)
        line.free(made)
    return 2


def test_rewritten_segments_are_right_though_their_payload_is_not_read() -> None:
    assert alone(rewritten) == 2


def not_restored() -> list[str]:
    """Where the mbufs cannot be the segments they are cut as any others."""
    import mbuf_kinds as memory

    line, found = Line(), []
    frames = senders(KINDS["TCP over IPv4"], 3)

    def held(mbufs: list[int], packet: int) -> None:
        memory.hold(packet)

    def no_room(mbufs: list[int], packet: int) -> None:
        start = memory.get(mbufs[5], m.BUF_ADDR, 8) + memory.get(mbufs[5], m.DATA_OFF, 2)
        data = bytes(memory.get(start + k, 0, 1) for k in range(SIZE))
        memory.put(mbufs[5], m.DATA_OFF, 2, 65)
        for k, byte in enumerate(data):
            memory.put(memory.get(mbufs[5], m.BUF_ADDR, 8) + 65 + k, 0, 1, byte)

    def other_size(mbufs: list[int], packet: int) -> None:
        offload = memory.get(packet, m.TX_OFFLOAD, 8)
        memory.put(packet, m.TX_OFFLOAD, 8, offload & ~(m.SEGSZ_MASK << m.SEGSZ_SHIFT) | 900 << m.SEGSZ_SHIFT)

    changes: tuple[Any, ...] = (held, no_room, other_size)
    for change in changes:
        mbufs, packet = line.merged(frames)
        change(mbufs, packet)
        made = line.cut(packet)
        assert made and not set(made) & set(mbufs)
        whole = line.bytes(made)
        payload = b"".join(frame[66:] for frame in whole)
        assert payload == b"".join(frame[66:] for frame in frames)
        if change is not other_size:
            assert whole == frames
        if change is held:
            line.native.free(made)
            assert line.received.in_use == len(mbufs)
            made = [packet]
        line.free(made)
        found.append(change.__name__)
    return found


def test_mbufs_that_cannot_be_the_segments_are_shared() -> None:
    assert alone(not_restored) == ["held", "no_room", "other_size"]
