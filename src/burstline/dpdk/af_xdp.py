"""What net_af_xdp keeps when its port is closed, and how it is taken back.

The driver lends mbufs to the kernel for each queue and forgets them on close (DPDK 22.11, `eth_dev_close`), together
with the sockets, so that the interface could not be opened again by the same process.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

from burstline.dpdk.binding import native
from burstline.dpdk.device import Device
from burstline.dpdk.pool import Pool
from burstline.errors import BurstlineError

DRIVER = "net_af_xdp"
FILL = 2048  # mbufs lent for each queue: XSK_RING_CONS__DEFAULT_NUM_DESCS
AF_XDP = 44


class Lent:
    """The mbufs and sockets of one net_af_xdp port. Made before its queues are set up."""

    def __init__(self, device: Device, pool: Pool, queues: int) -> None:
        """Raises BurstlineError when the pool has not the mbufs to lend; the driver would only say "invalid"."""
        if pool.available < queues * FILL:
            raise BurstlineError(
                f"{device} takes {FILL} packet buffers for each queue, the pool has {pool.available} left",
                "make the pool larger",
            )
        self.pool = pool
        self.queues = queues
        self.mbufs = pool.in_use
        self.sockets = _sockets()

    def taken(self) -> None:
        """The queues are set up, or their setup failed."""
        self.mbufs = self.pool.in_use - self.mbufs
        self.sockets = {fd: name for fd, name in _sockets().items() if self.sockets.get(fd) != name}

    def complete(self, port: int) -> None:
        """Let the driver free what the kernel has sent: it does so when asked to send, be it nothing. Nobody else may
        poll the port any more."""
        quiet = 0
        while quiet < 3:
            before = self.pool.in_use
            for queue in range(self.queues):
                native.transmit(port, queue, [])
            quiet = quiet + 1 if self.pool.in_use == before else 0
            time.sleep(0.001)

    def closed(self) -> None:
        """The port is closed: take back what it forgot."""
        for fd, name in _sockets().items():
            if self.sockets.get(fd) == name:
                os.close(fd)
        self.pool.settle(self.mbufs)


def _sockets() -> dict[int, str]:
    """The AF_XDP sockets that this process has open."""
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{entry}")
            if name.startswith("socket:") and _domain(int(entry)) == AF_XDP:
                found[int(entry)] = name
    return found


def _domain(fd: int) -> int:
    # Told the family, so that it does not ask the socket for an address: AF_XDP sockets have none.
    with socket.socket(socket.AF_UNIX, socket.SOCK_RAW, 0, fileno=os.dup(fd)) as borrowed:
        return borrowed.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
