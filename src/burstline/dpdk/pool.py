"""Pools of packet buffers (mbufs), with a cache for each registered thread."""

from __future__ import annotations

import errno
import itertools
from types import TracebackType

from burstline.dpdk import eal
from burstline.dpdk.binding import native
from burstline.errors import BurstlineError

_serial = itertools.count()


def mbufs_needed(queues: int, rx_ring: int = 1024, tx_ring: int = 1024, threads: int = 1, kept: int = 384) -> int:
    """How many mbufs `queues` queue pairs, over all ports, and the threads that serve them can hold at most, each with
    `kept` free ones, rounded up to what a pool stores best (DPDK: 2**n - 1)."""
    held = queues * (rx_ring + tx_ring) + threads * (kept + 4 * 256)
    return max(8191, (1 << (held + 1).bit_length()) - 1)


def no_memory(count: int, data_room: int, error: OSError, node: int = -1) -> BurstlineError:
    """What to say where a pool gets no memory, of a node where it is to be of one."""
    size = count * (data_room + native.HEADROOM + 192) >> 20
    running = eal.running()
    return BurstlineError(
        f"no memory for a pool of {count} packet buffers (about {size} MiB){f' on node {node}' if node > 0 else ''}: "
        f"{native.strerror(error.errno or 0)}",
        f"ask for fewer buffers, or provide more huge pages: {eal.hugepages_hint(node)}"
        if running is not None and running.hugepages
        else "ask for fewer buffers, or start with more memory (-m MiB among EAL's arguments)",
    )


class Pool:
    """`count` mbufs with room for `data_room` bytes of packet each (and 128 bytes of headroom before it).

    `software` says that only virtual devices will use it. mbufs then need not each stay within one page: without huge
    pages all their headers would fall into the same set of the L1 cache (20 ns a packet, not 4), and net_af_xdp
    registers with the kernel only as much memory as they take when none is left between them.
    `numa_node` is -1 for any. `ops` are the mempool ops by name, those that DPDK prefers where it is empty; `config` is
    their argument. EAL must run. Raises BurstlineError when memory does not suffice.
    """

    def __init__(
        self,
        count: int = 16383,
        *,
        data_room: int = 2048,
        cache: int = 256,
        software: bool = True,
        numa_node: int = -1,
        ops: str = "",
        config: int = 0,
    ) -> None:
        if eal.running() is None:
            raise BurstlineError("DPDK is not running", "call burstline.dpdk.eal.start() first")
        self.count = count
        self.data_room = data_room
        self.numa_node = numa_node
        self.cache = min(cache, count * 2 // 3, 512)
        self.name = f"burstline_{next(_serial)}"
        self._lost = 0
        flags = native.NO_IOVA_CONTIG if software else 0
        try:
            self.address = native.pool_create(
                self.name, count, self.cache, data_room + native.HEADROOM, flags, numa_node, ops, config
            )
        except OSError as error:
            if ops and error.errno in (errno.EINVAL, errno.EEXIST):
                raise BurstlineError(
                    f"DPDK has no mempool ops {ops!r}", "write ring_mp_mc, stack or lf_stack"
                ) from None
            raise no_memory(count, data_room, error, numa_node) from None

    def __repr__(self) -> str:
        return f"Pool({self.count}, in_use={self.in_use if self.address else 'closed'})"

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        if kind is None:
            self.close()

    @property
    def available(self) -> int:
        """mbufs that nobody holds, those in threads' caches included."""
        return native.pool_available(self.address)

    @property
    def in_use(self) -> int:
        """mbufs that somebody holds: 0 when all ports are closed and nothing leaked."""
        return self.count - self.available

    def cached(self, lcore: int) -> int:
        """mbufs in the cache of one lcore."""
        return native.pool_cached(self.address, lcore)

    def memory(self) -> list[tuple[int, int]]:
        """Addresses and bytes of what its mbufs lie in."""
        return native.pool_memory(self.address)

    def new(self, data: bytes, segment: int = 65535) -> int:
        """The address of an mbuf that holds `data`, as a chain of segments where `data` is longer than `segment` or
        than the room. Raises BurstlineError when the pool is empty."""
        mbuf = native.mbuf_new(self.address, data, segment)
        if mbuf == 0:
            raise BurstlineError(f"all {self.count} packet buffers of the pool are in use", "make the pool larger")
        return mbuf

    def settle(self, lost: int = 0) -> None:
        """A port closed, and its driver forgot `lost` mbufs: when all that are in use are forgotten ones, take them
        back. No thread may use the pool meanwhile."""
        self._lost += lost
        if self._lost and self.in_use == self._lost:
            self._recover()
            self._lost = 0

    def _recover(self) -> None:
        native.pool_recover(self.address)

    def close(self) -> None:
        """Give the memory back. Raises BurstlineError while mbufs are in use: close the ports first."""
        if not self.address:
            return
        if self.in_use:
            raise BurstlineError(
                f"{self.in_use} of {self.count} packet buffers are still in use", "close the ports that hold them first"
            )
        native.pool_free(self.address)
        self.address = 0
