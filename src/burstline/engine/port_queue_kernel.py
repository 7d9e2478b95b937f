"""A worker's queue at a port: what comes by it and leaves by it, with the software around the driver's calls where a
port has some (offload/twins.py)."""

from __future__ import annotations

from burstline.engine.account_kernel import count_drop, count_drops, count_out
from burstline.engine.worker import BAD_CHECKSUM, QUEUE_SIZE, SEND_FAILED, PortQueue, PortWorker
from burstline.native.memory import call_with_three, external, load32, load64, store64
from burstline.native.struct_type import reference
from burstline.offload.mbuf import PKT_LEN
from burstline.offload.twins import Twins

driver_receive = external("bl_dpdk_rx", 4)
driver_transmit = external("bl_dpdk_tx", 4)
free = external("bl_dpdk_free", 2)
queue_at, twins_at = reference(PortQueue), reference(Twins)

SEND_TRIES = 4  # a port whose ring is full gets this many chances a burst


def receive_burst(worker: PortWorker, number: int, mbufs: int) -> int:
    """How many packets came. Where software checks what the port does not, the bad ones are counted, and gone."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    worker.polls += 1
    if queue.receives == 0:
        return 0
    if queue.twins == 0:
        return driver_receive(queue.port, queue.queue, mbufs, worker.batch)
    n = call_with_three(worker.receive, queue.twins, mbufs, worker.most)
    twins = twins_at(queue.twins)
    if twins.bad:
        worker.packets_in += twins.bad
        worker.bytes_in += twins.bad_bytes
        count_drops(worker, BAD_CHECKSUM, twins.bad, twins.bad_bytes)
    return n


def held_back(worker: PortWorker, number: int, mbufs: int) -> int:
    """At the end of a run: what software still holds back for a port, to merge it with what may follow."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    if queue.receives == 0 or queue.twins == 0:
        return 0
    twins_at(queue.twins).ending = 1
    return receive_burst(worker, number, mbufs)


def send_burst(worker: PortWorker, number: int, mbufs: int, n: int, length: int) -> bool:
    """Send packets of so many bytes on a port that has software around it, and count them; what it does not take is
    freed. False where the port has none, and nothing is done."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    if queue.twins == 0:
        return False
    failed = call_with_three(worker.transmit, queue.twins, mbufs, n)
    failed_bytes = twins_at(queue.twins).failed_bytes
    worker.packets_out += n - failed
    worker.bytes_out += length - failed_bytes
    if failed:
        count_drops(worker, SEND_FAILED, failed, failed_bytes)
    return True


def send_all(worker: PortWorker, number: int, mbufs: int, n: int) -> int:
    """Send by the driver alone; returns how many went. The rest is freed."""
    queue = queue_at(worker.queues + number * QUEUE_SIZE)
    sent = driver_transmit(queue.port, queue.queue, mbufs, n)
    tries = 1
    while sent < n and tries < SEND_TRIES:
        sent += driver_transmit(queue.port, queue.queue, mbufs + sent * 8, n - sent)
        tries += 1
    if sent < n:
        free(mbufs + sent * 8, n - sent)
    return sent


def send_waiting(worker: PortWorker, number: int) -> None:
    """Send the packets that wait in a port's `outbound`. Lengths are read before the mbufs are given away."""
    n = load64(worker.counts + number * 8)
    if n == 0:
        return
    store64(worker.counts + number * 8, 0)
    mbufs, lengths = worker.outbound + number * worker.most * 8, worker.unwanted
    total = 0
    for i in range(n):
        length = load32(load64(mbufs + i * 8) + PKT_LEN)
        store64(lengths + i * 8, length)
        total += length
    if send_burst(worker, number, mbufs, n, total):
        return
    sent = send_all(worker, number, mbufs, n)
    for i in range(n):
        if i < sent:
            count_out(worker, load64(lengths + i * 8))
        else:
            count_drop(worker, SEND_FAILED, load64(lengths + i * 8))


def put_out(worker: PortWorker, number: int, mbuf: int) -> int:
    """Have a packet wait to be sent on a port; returns how many wait there now."""
    waiting = load64(worker.counts + number * 8)
    store64(worker.outbound + (number * worker.most + waiting) * 8, mbuf)
    store64(worker.counts + number * 8, waiting + 1)
    return waiting + 1
