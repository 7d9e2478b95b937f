"""Packets that came from a port become a burst: its columns, what their mbufs say of them, the parser."""

from __future__ import annotations

from collections.abc import Callable

from burstline.engine.account_kernel import count_drop
from burstline.engine.port_queue_kernel import free, queue_at
from burstline.engine.stages_kernel import burst_parser
from burstline.engine.worker import NO_BUFFER, QUEUE_SIZE, PortQueue, PortWorker
from burstline.native.memory import cycles, external, load16, load32, load64, prefetch, scale, store64
from burstline.native.struct_type import reference
from burstline.offload.mark_kernel import mark_of
from burstline.offload.mbuf import BUF_ADDR, DATA_LEN, DATA_OFF, NB_SEGS, OL_FLAGS, PKT_LEN, RX_LRO
from burstline.offload.segments_kernel import found_right, partial, segment_size, segments
from burstline.offload.stamp_kernel import stamped
from burstline.offload.stamps import Stamps
from burstline.packet.burst import BurstColumns
from burstline.packet.machine import Machine
from burstline.packet.parser import LINK_ETHERNET
from burstline.pipeline.needs import Needs

gather = external("bl_dpdk_gather", 2)
stamps_at = reference(Stamps)


def now(worker: PortWorker) -> int:
    return worker.clock_ns + scale(cycles() - worker.clock_start, worker.clock_scale, 32)


def time_of(queue: PortQueue, mbuf: int, now: int) -> int:
    """When a packet came: as its port stamped it, or now."""
    if queue.stamps == 0:
        return now
    time = stamped(stamps_at(load64(queue.stamps)), mbuf)
    if time == 0:
        queue.unstamped += 1
        return now
    return time


def burst_taker(
    needs: Needs, machine: Machine, *, to_file: bool
) -> Callable[[PortWorker, BurstColumns, int, int], tuple[int, int]]:
    """`take(worker, burst, n, port)`; `to_file`: what comes through is written to a file."""
    parse_burst = burst_parser(needs, machine)
    clock, numbered = needs.time or to_file, needs.port or to_file
    parsed = needs.full_parse or needs.eth
    cut = parsed or needs.captured or to_file
    whole = cut or needs.bytes
    # A merged packet stays a chain of mbufs, with all headers in the first, where nobody looks behind those.
    payloads = needs.payloads or to_file
    segmented, checked, written, marked = needs.segments, needs.checks, needs.writes, needs.marks

    def take(worker: PortWorker, burst: BurstColumns, n: int, number: int) -> tuple[int, int]:
        """Count packets that came, fill the burst's columns from their mbufs, and parse; returns how many there are,
        and their bytes. One in several mbufs that cannot be gathered into one is dropped."""
        total = lost = 0
        queue = queue_at(worker.queues + number * QUEUE_SIZE)
        time = now(worker) if clock else 0
        for i in range(n):  # so small that the CPU asks for all of them at once
            prefetch(burst.mbuf[i])
        for i in range(n):
            mbuf = burst.mbuf[i]
            length = load32(mbuf + PKT_LEN)
            if whole and scattered(mbuf):
                mbuf = gather(mbuf, queue.pools)
                burst.mbuf[i] = mbuf
                if scattered(mbuf):
                    lost += length
            burst.data[i] = load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
            if cut:
                burst.captured[i] = load16(mbuf + DATA_LEN)
            burst.length[i] = length
            if numbered:
                burst.port[i] = number
            if clock:
                burst.time[i] = time_of(queue, mbuf, time)
            if parsed:
                prefetch(burst.data[i])
            total += length
        worker.packets_in += n
        worker.bytes_in += total
        if lost:
            n = without_chains(worker, burst, n)
        parse_burst(burst, 0, n, LINK_ETHERNET)
        if segmented or checked or marked:
            read_marks(burst, n)
        return n, total - lost

    def scattered(mbuf: int) -> bool:
        """It is in several mbufs, and should not be."""
        return load16(mbuf + NB_SEGS) != 1 and (payloads or load64(mbuf + OL_FLAGS) & RX_LRO == 0)

    def read_marks(burst: BurstColumns, n: int) -> None:
        """What the port, or software in its place, says of packets. What it found of checksums holds until a stage
        writes to a packet; but what a partial one lacks is filled in when it is sent."""
        for i in range(n):
            mbuf = burst.mbuf[i]
            size = segment_size(mbuf) if segmented else 0
            if size > 0:
                burst.segment_size[i] = size
                burst.segments[i] = segments(mbuf, burst.data[i], load16(mbuf + DATA_LEN), size)
            if marked:
                burst.mark[i] = mark_of(mbuf)
            if checked:
                burst.checks[i] = 1 if partial(mbuf) or (not written and found_right(mbuf)) else 0

    def without_chains(worker: PortWorker, burst: BurstColumns, n: int) -> int:
        """Drop the packets that are still in several mbufs, and close the gaps; returns how many are left."""
        kept = 0
        for i in range(n):
            mbuf, length = burst.mbuf[i], burst.length[i]
            if scattered(mbuf):
                count_drop(worker, NO_BUFFER, length)
                store64(worker.unwanted, mbuf)
                free(worker.unwanted, 1)
                continue
            burst.mbuf[kept] = mbuf
            burst.data[kept] = burst.data[i]
            burst.length[kept] = length
            if cut:
                burst.captured[kept] = burst.captured[i]
            kept += 1
        return kept

    return take
