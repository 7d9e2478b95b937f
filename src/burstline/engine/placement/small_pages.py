"""Pools without huge pages on their node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from burstline.numa.memory_policy import place

if TYPE_CHECKING:
    from burstline.dpdk.pools import Pools


def have_on(pools: Pools, node: int) -> None:
    """DPDK chooses the node of huge pages alone; others are moved there before anybody uses them."""
    from burstline.dpdk import eal

    running = eal.running()
    if running is None or running.hugepages:
        return
    for pool in pools.by_size.values():
        for address, size in pool.memory():
            place(address, size, node)
