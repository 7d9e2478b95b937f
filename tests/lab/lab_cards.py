"""The cards of the machine that the tests run in, and a process for DPDK, in which EAL is started once."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tools.lab.machines import MACHINES

from burstline.dpdk import eal
from burstline.dpdk.pool import Pool
from burstline.dpdk.port import Port, free

MACHINE = MACHINES[os.environ["BURSTLINE_LAB"]]
RESULTS = Path(os.environ["BURSTLINE_LAB_RESULTS"])
# DPDK's driver of each model, as rte_eth_dev_info names it.
DRIVERS = {"e1000e": "net_e1000_em", "vmxnet3": "net_vmxnet3", "virtio-net-pci": "net_virtio"}
PATIENCE = 600  # seconds: the machine is slow, and others may use its processors


def pair(model: str) -> tuple[str, str]:
    """The PCI addresses of two cards of a model, on one wire."""
    first, second = MACHINE.cards(model)
    return MACHINE.address(first), MACHINE.address(second)


@contextmanager
def dpdk_process() -> Iterator[Callable[..., Any]]:
    """Calls functions in a process whose EAL has all cards of DPDK. After one that crashes it, all fail."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        executor.submit(_start).result(PATIENCE)
        yield lambda function, *arguments: executor.submit(function, *arguments).result(PATIENCE)


def _start() -> None:
    devices = [MACHINE.address(k) for k, nic in enumerate(MACHINE.nics) if nic.dpdk]
    assert eal.start(devices=devices).hugepages, "the machine has huge pages"


@contextmanager
def ports(model: str, room: int = 2048, buffers: int = 8191, **options: Any) -> Iterator[tuple[Port, Port]]:
    """Both cards of a model, started; all buffers are back in their pool when they are closed."""
    with Pool(buffers, data_room=room, software=False) as pool:
        with open_pair(model, pool, **options) as made:
            yield made
        assert pool.in_use == 0, f"{pool.in_use} mbufs leaked"


@contextmanager
def open_pair(model: str, pool: Pool, mtu: int = 1500, **options: Any) -> Iterator[tuple[Port, Port]]:
    one, other = pair(model)
    with Port.open(one, pool, mtu=mtu, **options) as a, Port.open(other, pool, mtu=mtu, **options) as b:
        for port in (a, b):
            port.start()
        up(a, b)
        yield a, b


def up(*started: Port) -> None:
    """Wait for the links."""
    end = time.monotonic() + PATIENCE
    while not all(port.info().link_up for port in started):
        assert time.monotonic() < end, "a link did not come up"
        time.sleep(0.05)


def cross(sender: Port, receiver: Port, frames: Sequence[bytes], queue: int = 0) -> list[list[bytes]]:
    """Send `frames` from a queue of one port; returns what came to each queue of the other."""
    waiting = [sender.pools[0].new(frame) for frame in frames]
    got: list[list[bytes]] = [[] for _ in range(receiver.queues)]
    end = time.monotonic() + PATIENCE
    while waiting or sum(map(len, got)) < len(frames):
        assert time.monotonic() < end, f"{sum(map(len, got))} of {len(frames)} frames came"
        waiting = waiting[sender.transmit(queue, waiting[:32]) :]
        receive(receiver, got)
    return got


def receive(port: Port, into: list[list[bytes]]) -> None:
    """Add what arrives at each queue of a port."""
    for queue, found in enumerate(into):
        received = port.receive(queue, 32)
        found += [bytes(view) for _, view in received]
        free([mbuf for mbuf, _ in received])


def frame(number: int, size: int) -> bytes:
    """IPv4 and UDP with a port for each number, so that flows are many; filled up to `size` bytes."""
    udp = struct.pack("!HHHH", 1024 + number, 4789, size - 34, 0)
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, size - 14, number, 0, 64, 17, 0, b"\x0a\0\0\1", b"\x0a\0\0\2")
    total = sum(struct.unpack("!10H", ip))
    total = (total & 0xFFFF) + (total >> 16)
    ip = ip[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + ip[12:]
    head = b"\x02\0\0\0\0\1" + b"\x02\0\0\0\0\2" + b"\x08\0" + ip + udp
    return head.ljust(size, bytes([number % 256]))
