"""Packets that stages made leave by ports: behind the burst that they were made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from burstline.engine.account_kernel import count_consumed, count_drop, count_out
from burstline.engine.made_kernel import AS_PASSED, count_made_ones, made_at
from burstline.engine.port_departure_kernel import write_marks
from burstline.engine.port_queue_kernel import free, put_out, queue_at, send_waiting, twins_at
from burstline.engine.worker import NO_SUCH_PORT, QUEUE_SIZE, WRITER_FULL, PortWorker
from burstline.native.memory import load16, load32, load64, store64
from burstline.offload.mbuf import BUF_ADDR, DATA_LEN, DATA_OFF, PKT_LEN
from burstline.offload.segments_kernel import cut_into, segment_size, size_to_fit
from burstline.offload.twins import Twins
from burstline.pipeline.needs import Needs
from burstline.ports.tape_kernel import put_pcap, put_pcapng, tape_at, tell


def made_sender(needs: Needs, burst_at: Any, sink: str) -> Callable[[PortWorker], None]:
    """`send_made(worker)`; `sink` is the format of the file that packets are written to, or empty."""
    to_file, segmented = sink != "", needs.segments
    put = put_pcapng if sink == "pcapng" else put_pcap

    def send_made(worker: PortWorker) -> None:
        """What the stages made leaves, a port at a time; what cannot is counted, and given back."""
        made = made_at(worker.making)
        burst = burst_at(made.burst)
        total = 0
        if segmented:
            write_marks(burst, made.count)
        for k in range(made.count):
            length, mbuf = burst.length[k], burst.mbuf[k]
            target = worker.out if burst.verdict[k] == AS_PASSED else burst.verdict[k]
            total += length
            if to_file:
                if put(tape_at(worker.tape), burst, k):
                    count_out(worker, length)
                else:
                    count_drop(worker, WRITER_FULL, length)
            elif target < 0:
                count_consumed(worker, length)
            elif target >= worker.ports:
                count_drop(worker, NO_SUCH_PORT, length)
            if to_file or target < 0 or target >= worker.ports:
                store64(worker.unwanted, mbuf)
                free(worker.unwanted, 1)
            elif put_out(worker, target, mbuf) == worker.most:
                send_to(worker, target)
        if to_file:
            tell(tape_at(worker.tape))
        count_made_ones(worker, made, total)
        for number in range(worker.ports):
            send_to(worker, number)

    return send_made


def send_to(worker: PortWorker, number: int) -> None:
    at = queue_at(worker.queues + number * QUEUE_SIZE).twins
    if at != 0:
        twins, mbufs = twins_at(at), worker.outbound + number * worker.most * 8
        for k in range(load64(worker.counts + number * 8)):
            cut_made(twins, load64(mbufs + 8 * k))
    send_waiting(worker, number)


def cut_made(twins: Twins, mbuf: int) -> None:
    """A made packet that is too large for its port, and of which stages have not said how it is to be cut."""
    if segment_size(mbuf) == 0:
        captured, data = load16(mbuf + DATA_LEN), load64(mbuf + BUF_ADDR) + load16(mbuf + DATA_OFF)
        size = size_to_fit(data, captured, load32(mbuf + PKT_LEN), twins.mtu, twins.segment_size)
        if size > 0:
            cut_into(mbuf, size)
