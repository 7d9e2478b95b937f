"""A port of rings whose ends are ours, and pools: what software around a port is tested with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def machine() -> Iterator[Any]:
    """The port, the pool of what it receives, pools of mbufs to copy to, and those to cut by. Nothing leaks."""
    from burstline.dpdk import eal
    from burstline.dpdk.pool import Pool
    from burstline.dpdk.pools import Pools
    from burstline.dpdk.ring_port import RingPort

    eal.start(huge=False, memory=256)
    with Pool(8191) as pool:
        pools = Pools({2048: 2047, 9216: 511}, Pool)
        cutting = Pools({0: 8191, 256: 4095}, Pool)
        port = RingPort.pair(pool, ring_size=4096)
        port.start()
        yield port, pool, pools, cutting
        port.close()
        assert (pool.in_use, pools.in_use, cutting.in_use) == (0, 0, 0)
        pools.close()
        cutting.close()
