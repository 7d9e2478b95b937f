"""What becomes of a burst's packets when the stages are through: sent, written, freed, counted."""

from __future__ import annotations

from collections.abc import Callable

from burstline.engine.account_kernel import count_consumed, count_drop, count_out
from burstline.engine.drop_sample_kernel import sample_drops
from burstline.engine.port_queue_kernel import free, put_out, send_all, send_burst, send_waiting
from burstline.engine.worker import NO_SUCH_PORT, SEND_FAILED, WRITER_FULL, PortWorker
from burstline.native.memory import store64
from burstline.offload.mark_kernel import mark_of, put_mark
from burstline.offload.segments_kernel import cut_into, segment_size
from burstline.packet.burst import BurstColumns
from burstline.packet.burst_type import burst_address
from burstline.pipeline.verdict import CONSUMED, DROPPED, KIND_BITS, KIND_MASK, SENT
from burstline.ports.tape_kernel import put_pcap, put_pcapng, tape_at, tell


def write_marks(burst: BurstColumns, n: int) -> None:
    """How stages want packets to be cut."""
    for i in range(n):
        if burst.segment_size[i] != segment_size(burst.mbuf[i]):
            cut_into(burst.mbuf[i], burst.segment_size[i])


def write_mark(burst: BurstColumns, n: int) -> None:
    """What stages marked packets with, for who takes them over rings."""
    for i in range(n):
        if burst.mark[i] != mark_of(burst.mbuf[i]):
            put_mark(burst.mbuf[i], burst.mark[i])


def pass_on(worker: PortWorker, burst: BurstColumns, n: int, total: int, target: int) -> None:
    """All packets go one way: the mbufs go out as they came in."""
    mbufs = burst_address(burst.mbuf)
    if target < 0:
        free(mbufs, n)
        worker.consumed += n
        worker.bytes_consumed += total
        return
    if send_burst(worker, target, mbufs, n, total):
        return
    sent = send_all(worker, target, mbufs, n)
    worker.packets_out += sent
    worker.bytes_out += total
    for i in range(sent, n):
        worker.bytes_out -= burst.length[i]
        count_drop(worker, SEND_FAILED, burst.length[i])


def burst_sorter(sink: str) -> Callable[[PortWorker, BurstColumns, int], None]:
    """`sort_out(worker, burst, n)` sees to packets that do not all go one way; `sink` is the format of the file that
    packets are written to, or empty."""
    to_file = sink != ""
    put = put_pcapng if sink == "pcapng" else put_pcap

    def sort_out(worker: PortWorker, burst: BurstColumns, n: int) -> None:
        """Group the packets by verdict, send and free each group at once, count each packet."""
        dead = lost = 0
        for i in range(n):
            verdict, length, mbuf = burst.verdict[i], burst.length[i], burst.mbuf[i]
            kind = verdict & KIND_MASK
            target = verdict >> KIND_BITS if kind == SENT else worker.out
            if kind == DROPPED:
                count_drop(worker, verdict >> KIND_BITS, length)
                lost += 1
                target = -1
            elif kind == CONSUMED:
                count_consumed(worker, length)
                target = -1
            elif to_file:
                if put(tape_at(worker.tape), burst, i):
                    count_out(worker, length)
                else:
                    count_drop(worker, WRITER_FULL, length)
                target = -1
            elif target < 0:
                count_consumed(worker, length)
            elif target >= worker.ports:
                count_drop(worker, NO_SUCH_PORT, length)
                lost += 1
                target = -1
            if target < 0:
                store64(worker.unwanted + dead * 8, mbuf)
                dead += 1
            else:
                put_out(worker, target, mbuf)
        if to_file:
            tell(tape_at(worker.tape))
        if lost and worker.samples != 0:
            sample_drops(worker, burst, n, lost)
        if dead:
            free(worker.unwanted, dead)
        for number in range(worker.ports):
            send_waiting(worker, number)

    return sort_out
