"""Compiled: a rte_rx_callback_fn (rte_ethdev.h) that counts what was received."""

from __future__ import annotations

from burstline.engine.ring_counts import QueueCount
from burstline.native.memory import load32, load64
from burstline.native.struct_type import reference
from burstline.offload.mbuf import PKT_LEN

U16 = 0xFFFF  # C leaves the rest of a register as it is
count_at = reference(QueueCount)


def count_received(port: int, queue: int, mbufs: int, received: int, most: int, argument: int) -> int:
    own, found, length = count_at(argument), received & U16, 0
    for k in range(found):
        length += load32(load64(mbufs + 8 * k) + PKT_LEN)
    own.packets += found
    own.bytes += length
    return found
