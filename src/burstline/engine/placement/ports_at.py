"""Where the ports of a run are, and the buffers that they receive into."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress

from burstline.engine.live_buffers import node_of
from burstline.engine.live_ports import LivePorts
from burstline.numa.memory_policy import nodes_in
from burstline.numa.placement_check import MemoryAt, PortAt


def ports_at(ports: LivePorts) -> list[PortAt]:
    """The node of each source, where it is hardware, and who polls it."""
    nodes = [node_of(device) for device in ports.sources]
    workers = tuple(range(ports.workers))
    return [
        PortAt(f"dpdk:{device}", node if node >= 0 else None, workers)
        for device, node in zip(ports.sources, nodes, strict=True)
    ]


def buffers_at(ports: LivePorts) -> list[MemoryAt]:
    """The buffers that each queue of a source receives into, where queues have some of their own; else of each port."""
    if ports.buffers is None or not ports.pools:
        return []
    found = []
    for device, port in zip(ports.sources, ports.buffers.ports, strict=False):
        for queue in range(len(port.nodes)):
            pools = [ports.pools[port.node_of(queue)].of(size) for size in port.plan.buffers]
            pages: Counter[int] = Counter()
            for address, size in (each for pool in pools if pool for each in pool.memory()):
                with suppress(OSError):
                    pages += nodes_in(address, size)
            several = len(port.nodes) > 1
            users = (queue,) if several else tuple(range(ports.workers))
            planned = ports.placement.pool_node(device, queue) if ports.placement else None
            name = f"pool dpdk:{device}" + (f" queue {queue}" if several else "")
            found.append(MemoryAt(name, "pool", dict(pages), users, planned, f"dpdk:{device}"))
    return found
