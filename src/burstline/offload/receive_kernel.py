"""Receiving from a port with the software for what it does not do itself: `rx_burst`'s place in the compiled loop."""

from __future__ import annotations

from burstline.native.memory import call_with_four, load64, prefetch
from burstline.offload.twins import Twins
from burstline.offload.vlan_kernel import untag


def receive(twins: Twins, mbufs: int, room: int) -> int:
    """How many packets are at `mbufs`, which has room for twice a burst."""
    if twins.ending:
        return 0
    n = call_with_four(twins.rx, twins.port, twins.queue, mbufs, twins.burst)
    if twins.vlan:
        for i in range(n):
            prefetch(load64(mbufs + 8 * i))
        for i in range(n):
            untag(twins, load64(mbufs + 8 * i))
    return n
