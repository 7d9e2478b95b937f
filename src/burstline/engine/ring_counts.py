"""Packets and bytes that are received from rings, of which net_ring itself counts no bytes: by a callback behind each
queue (rte_eth_add_rx_callback)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from burstline.engine.report import Count
from burstline.native.fieldtypes import i64
from burstline.native.kernel import Kernel
from burstline.native.struct import Struct
from burstline.state.region import Block

if TYPE_CHECKING:
    from burstline.dpdk.ring_port import RingPort


class QueueCount(Struct):
    """Of one queue, written by the thread that polls it."""

    packets: i64
    bytes: i64


count_received = Kernel("burstline.engine.ring_counts_kernel:count_received", int, int, int, int, int, int)


class RingCounts:
    """Of all queues of these ports, from now on; to be closed before they are, when nobody polls them."""

    def __init__(self, ports: Sequence[RingPort]) -> None:
        from burstline.dpdk.binding import native

        self._queues: list[tuple[int, int, int, Block]] = []
        for port in ports:
            for queue in range(port.queues):
                block = Block(QueueCount.layout, 128)
                handle = native.port_receiver(port.id, queue, count_received.address, block.address)
                self._queues.append((port.id, queue, handle, block))

    def total(self) -> Count:
        blocks = [block for *_, block in self._queues]
        return Count(sum(b.get("packets") for b in blocks), sum(b.get("bytes") for b in blocks))

    def close(self) -> None:
        from burstline.dpdk.binding import native

        for port, queue, handle, _ in self._queues:
            native.port_receiver_gone(port, queue, handle)
        self._queues = []
