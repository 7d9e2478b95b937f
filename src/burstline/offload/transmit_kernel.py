"""Sending by a port with the software for what it does not do itself: `tx_burst`'s place in the compiled loop."""

from __future__ import annotations

from burstline.native.memory import call_with_four, call_with_two, load32, load64, store64
from burstline.offload.mbuf import PKT_LEN
from burstline.offload.twins import Twins
from burstline.offload.vlan_kernel import tag

TRIES = 4  # a port whose ring is full gets this many chances


def transmit(twins: Twins, mbufs: int, n: int) -> int:
    """The packets are sent or freed, each; returns how many the port did not take, in part or whole. Their bytes are
    in `twins.failed_bytes`."""
    twins.failed = twins.failed_bytes = 0
    packets = waiting = 0
    for i in range(n):
        mbuf = load64(mbufs + 8 * i)
        length = load32(mbuf + PKT_LEN)
        if twins.vlan and not tag(twins, mbuf):
            fail(twins, length)
            call_with_two(twins.free, mbufs + 8 * i, 1)
            continue
        store64(twins.leaving + 8 * waiting, mbuf)
        waiting += 1
        store64(twins.ends + 16 * packets, waiting)
        store64(twins.ends + 16 * packets + 8, length)
        packets += 1
        if waiting == twins.segments:
            send(twins, waiting, packets)
            packets = waiting = 0
    if waiting:
        send(twins, waiting, packets)
    return twins.failed


def fail(twins: Twins, length: int) -> None:
    twins.failed += 1
    twins.failed_bytes += length


def send(twins: Twins, waiting: int, packets: int) -> None:
    """Send what waits; what the port does not take is freed, and the packets fail that it was of."""
    sent = 0
    for _ in range(TRIES):
        ready = call_with_four(twins.prepare, twins.port, twins.queue, twins.leaving + 8 * sent, waiting - sent)
        sent += call_with_four(twins.tx, twins.port, twins.queue, twins.leaving + 8 * sent, ready)
        if sent == waiting:
            return
    call_with_two(twins.free, twins.leaving + 8 * sent, waiting - sent)
    for k in range(packets):
        if load64(twins.ends + 16 * k) > sent:
            fail(twins, load64(twins.ends + 16 * k + 8))
