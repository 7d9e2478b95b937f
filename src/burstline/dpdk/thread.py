"""Threads that poll ports: registered with DPDK, so that they have a lcore id and with it a cache in each pool.

https://doc.dpdk.org/guides/prog_guide/env_abstraction_layer.html, "Known Issues: rte_mempool" for threads without one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from burstline.dpdk.binding import native
from burstline.errors import BurstlineError

NO_LCORE = 0xFFFFFFFF


def register() -> int:
    """Make the calling thread known to DPDK; returns its lcore id. Pin it first: DPDK reads its NUMA node from its
    CPUs. The thread that started EAL is known already. Raises BurstlineError when all lcore ids are taken."""
    try:
        native.thread_register()
    except OSError as error:
        raise BurstlineError(
            f"DPDK takes no further thread: {error.strerror}", "use fewer workers: DPDK is built for a fixed number"
        ) from None
    return native.lcore_id()


def unregister() -> None:
    """Give the calling thread's lcore id back; nothing happens when it has none."""
    native.thread_unregister()


def lcore() -> int | None:
    """The calling thread's lcore id, if DPDK knows it."""
    number = native.lcore_id()
    return None if number == NO_LCORE else number


@contextmanager
def registered() -> Iterator[int]:
    """`register` for the length of a block; yields the lcore id."""
    number = register()
    try:
        yield number
    finally:
        unregister()
